/**
 * Rules of files: the page cache and the folios in it name each other, the tree
 * is whole, every open file and inode is held by somebody.
 */
import type { Ref } from "../../../units.js";
import {
  FILE_F_INODE,
  FILE_F_REF,
  INODE_I_COUNT,
  INODE_NRPAGES,
} from "../../layout/generated/offsets.js";
import { PG_DIRTY, PG_LOCKED, PG_UPTODATE, PG_WRITEBACK } from "../../design/word/axis-flags.js";
import { KIND_DEVICE, KIND_DISK } from "../../process/files.js";
import { O_FILE, O_INODE, O_VMA, O_XA_NODE } from "../../process/objects.js";
import { fileName, type FileView } from "./file-view.js";
import type { KernelReport, KernelRule } from "./rule.js";
import { holderOf, type ProcessView } from "./view.js";

const NONE = 0 as Ref;

/** One file's cached folios. */
function cachedFolios(view: ProcessView, file: FileView, report: KernelReport): void {
  const { folios, w } = view.base;
  const who = fileName(file);
  let pages = 0;
  for (const slot of file.slots) {
    pages += slot.pages;
    const folio = view.folios.get(slot.folio);
    if (folio === undefined) continue;
    if (folios.mapping(slot.folio) !== file.mapping || folios.mappingBits(slot.folio) !== 0)
      report(folio.pfn, `page ${slot.index} of the cache is a folio of another mapping`, who);
    const first = folios.index(slot.folio);
    if (slot.index < first || slot.index + slot.pages > first + 2 ** folio.order)
      report(
        folio.pfn,
        `it is at page ${slot.index}, its index is ${first} and it has ${2 ** folio.order} pages`,
        who,
      );
    if (folios.test(slot.folio, PG_LOCKED | PG_WRITEBACK))
      report(folio.pfn, "it is locked or under writeback between operations", who);
    // A disk's file system looks at the block of a hole through a page that it does not read.
    if (folios.test(slot.folio, PG_UPTODATE)) continue;
    if (file.kind !== KIND_DISK || folios.test(slot.folio, PG_DIRTY))
      report(folio.pfn, "it is not uptodate", who);
  }
  const says = w.load32(file.inode, INODE_NRPAGES);
  if (says !== pages) report(-1, `nrpages is ${says}, ${pages} pages are in the tree`, who);
}

export const PAGE_CACHE_MATCHES: KernelRule = {
  name: "the page cache matches its folios",
  says: "a folio in a file's tree has that mapping and the index of its slots, is in all of them, unlocked and uptodate (but for clean pages of a disk that nobody has read); nrpages is how many pages there are",
  watch(view, report) {
    for (const file of view.files) cachedFolios(view, file, report);
    for (const folio of view.folios.values()) {
      const { folios } = view.base;
      const mapping = folios.isAnon(folio.ref) ? NONE : folios.mapping(folio.ref);
      // A driver's folio names the address space of its device, which has no cache.
      const { files } = view.kernel;
      const inCache = mapping !== NONE && files.kind(files.inodeOf(mapping)) !== KIND_DEVICE;
      if (inCache && folio.cached !== 2 ** folio.order)
        report(
          folio.pfn,
          `it says it is cached, ${folio.cached} of ${2 ** folio.order} pages are in a tree`,
          holderOf(folio),
        );
    }
  },
};

export const CACHE_TREES_ARE_WHOLE: KernelRule = {
  name: "page cache trees are whole",
  says: "a node counts the slots that it fills, names the node above it, is never empty, and no node in use is outside of a tree",
  watch(view, report) {
    const seen = new Set<Ref>();
    for (const file of view.files) {
      const who = fileName(file);
      for (const why of file.broken) report(-1, why, who);
      for (const n of file.nodes) {
        seen.add(n.node);
        if (n.count !== n.filled)
          report(-1, `node ${n.node} counts ${n.count} slots, ${n.filled} are filled`, who);
        if (n.parent !== n.from)
          report(-1, `node ${n.node} names ${n.parent} above it, it is below ${n.from}`, who);
        if (n.filled === 0) report(-1, `node ${n.node} is empty`, who);
      }
    }
    for (const node of view.objects[O_XA_NODE])
      if (!seen.has(node)) report(-1, `node ${node} is in use and in no tree`, "nobody");
  },
};

export const FILES_ARE_HELD: KernelRule = {
  name: "files are held",
  says: "an open file counts the VMAs that map it and at most one who has it open; an inode counts its open files and at most one name",
  watch(view, report) {
    const { core } = view;
    const { w, vmas } = view.base;
    const mapping = new Map<Ref, number>();
    for (const vma of view.objects[O_VMA]) {
      const file = vmas.file(vma);
      if (file === NONE) continue;
      mapping.set(file, (mapping.get(file) ?? 0) + 1);
      if (!view.isObject(O_FILE, file)) report(-1, `a VMA names file ${file}, freed`, `VMA ${vma}`);
    }
    const open = new Map<Ref, number>();
    for (const file of view.objects[O_FILE]) {
      const inode = core.pointer(file, FILE_F_INODE);
      open.set(inode, (open.get(inode) ?? 0) + 1);
      if (!view.isObject(O_INODE, inode))
        report(-1, `an open file names inode ${inode}, freed`, `file ${file}`);
      const extra = w.load32(file, FILE_F_REF) - (mapping.get(file) ?? 0);
      if (extra < 0 || extra > 1)
        report(
          -1,
          `f_ref is ${w.load32(file, FILE_F_REF)}, ${mapping.get(file) ?? 0} VMAs map it`,
          `file ${file}`,
        );
    }
    for (const file of view.files) {
      const count = w.load32(file.inode, INODE_I_COUNT);
      const extra = count - (open.get(file.inode) ?? 0);
      if (count <= 0 || extra < 0 || extra > 1)
        report(
          -1,
          `i_count is ${count}, it is open ${open.get(file.inode) ?? 0} times`,
          fileName(file),
        );
    }
  },
};
