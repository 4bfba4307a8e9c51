/**
 * Rules of the reverse map: anon_vmas and their chains, the VMAs of a file, and
 * that from a folio every one of its mappings can be found.
 *
 * Source: mm/rmap.c of 6.18 (what the counts of an anon_vma mean, and why a
 * parent outlives its children).
 */
import type { Ref } from "../../../units.js";
import {
  ANON_VMA_CHAINS,
  ANON_VMA_NUM_ACTIVE_VMAS,
  ANON_VMA_NUM_CHILDREN,
  ANON_VMA_PARENT,
  ANON_VMA_REFCOUNT,
  ANON_VMA_ROOT,
  ANON_VMA_RWSEM,
  AVC_ANON_VMA,
  AVC_NEXT,
  AVC_PREV,
  AVC_SAME_VMA_NEXT,
  AVC_SAME_VMA_PREV,
  AVC_VMA,
  INODE_I_MMAP,
  INODE_I_MMAP_RWSEM,
  VMA_ANON_VMA,
  VMA_ANON_VMA_CHAIN,
  VMA_SHARED_NEXT,
  VMA_SHARED_PREV,
} from "../../layout/generated/offsets.js";
import { O_ANON_VMA, O_AVC, O_VMA } from "../../process/objects.js";
import { fileName } from "./file-view.js";
import type { KernelReport, KernelRule } from "./rule.js";
import type { FolioView, MmView } from "./shape.js";
import { holderOf, place, type ProcessView } from "./view.js";

const NONE = 0 as Ref;

/** A doubly linked list of objects, checked as it is walked; stops where it is broken. */
function linked(
  view: ProcessView,
  head: Ref,
  next: number,
  prev: number,
  kind: number,
  say: (detail: string) => void,
): Ref[] {
  const { core } = view;
  const found: Ref[] = [];
  let before = NONE;
  for (let at = head; at !== NONE; at = core.pointer(at, next)) {
    if (!view.isObject(kind, at)) {
      say(`its list leads to ${at}, which is free`);
      return found;
    }
    if (found.length > view.objects[kind].size) {
      say("its list is a ring");
      return found;
    }
    if (core.pointer(at, prev) !== before) say(`${at} is not linked back`);
    found.push(at);
    before = at;
  }
  return found;
}

/** VMA → which process has it where. */
function vmaPlaces(view: ProcessView): Map<Ref, string> {
  return new Map(
    view.mms.flatMap((mm) => mm.vmas.map((v) => [v.vma, place(mm, v.start)] as const)),
  );
}

interface Relations {
  readonly ofVma: Map<Ref, Ref[]>;
  readonly ofAnonVma: Map<Ref, Ref[]>;
}

/** All chains, once from the VMAs' side and once from the anon_vmas'. */
function chains(view: ProcessView, report: KernelReport): Relations {
  const { core } = view;
  const where = vmaPlaces(view);
  const ofVma = new Map<Ref, Ref[]>();
  const ofAnonVma = new Map<Ref, Ref[]>();
  for (const vma of view.objects[O_VMA]) {
    const who = where.get(vma) ?? `VMA ${vma}`;
    const say = (detail: string): void => report(-1, `chains of a VMA: ${detail}`, who);
    const first = core.pointer(vma, VMA_ANON_VMA_CHAIN);
    const list = linked(view, first, AVC_SAME_VMA_NEXT, AVC_SAME_VMA_PREV, O_AVC, say);
    ofVma.set(vma, list);
    for (const avc of list) if (core.pointer(avc, AVC_VMA) !== vma) say(`${avc} is another VMA's`);
    if ((core.pointer(vma, VMA_ANON_VMA_CHAIN + 8) || NONE) !== (list.at(-1) ?? NONE))
      say("its last is not the last");
    const own = core.pointer(vma, VMA_ANON_VMA);
    if (own !== NONE && !list.some((avc) => core.pointer(avc, AVC_ANON_VMA) === own))
      say(`its anon_vma ${own} is not among them`);
  }
  for (const av of view.objects[O_ANON_VMA]) {
    const say = (detail: string): void => report(-1, detail, `anon_vma ${av}`);
    const first = core.pointer(av, ANON_VMA_CHAINS);
    const list = linked(view, first, AVC_NEXT, AVC_PREV, O_AVC, say);
    ofAnonVma.set(av, list);
    for (const avc of list)
      if (core.pointer(avc, AVC_ANON_VMA) !== av) say(`${avc} is another anon_vma's`);
  }
  return { ofVma, ofAnonVma };
}

/** How many of something name each anon_vma. */
function countBy(refs: Iterable<Ref>): Map<Ref, number> {
  const counts = new Map<Ref, number>();
  for (const ref of refs) counts.set(ref, (counts.get(ref) ?? 0) + 1);
  return counts;
}

export const ANON_VMAS_ARE_WHOLE: KernelRule = {
  name: "anon_vmas are whole",
  says: "every chain is on its VMA's list and its anon_vma's, both linked both ways; an anon_vma counts its children, the VMAs that it serves and, at the root, its descendants",
  watch(view, report) {
    const { core } = view;
    const { w } = view.base;
    const { ofVma, ofAnonVma } = chains(view, report);
    const listed = new Set([...ofVma.values()].flat());
    const back = new Set([...ofAnonVma.values()].flat());
    for (const avc of view.objects[O_AVC])
      if (!listed.has(avc) || !back.has(avc))
        report(-1, `chain ${avc} is not on both of its lists`, `VMA ${core.pointer(avc, AVC_VMA)}`);
    const all = [...view.objects[O_ANON_VMA]];
    const active = countBy([...view.objects[O_VMA]].map((v) => core.pointer(v, VMA_ANON_VMA)));
    const children = countBy(all.map((av) => core.pointer(av, ANON_VMA_PARENT)));
    const kin = countBy(all.map((av) => core.pointer(av, ANON_VMA_ROOT)));
    for (const av of all) {
      const expect = (what: string, off: number, must: number): void => {
        const is = w.load32(av, off);
        if (is !== must) report(-1, `${what} is ${is}, it must be ${must}`, `anon_vma ${av}`);
      };
      expect("num_active_vmas", ANON_VMA_NUM_ACTIVE_VMAS, active.get(av) ?? 0);
      expect("num_children", ANON_VMA_NUM_CHILDREN, children.get(av) ?? 0);
      const root = core.pointer(av, ANON_VMA_ROOT) === av;
      // The root is held by itself and by each other anon_vma of its tree.
      expect("refcount", ANON_VMA_REFCOUNT, root ? (kin.get(av) ?? 0) : 1);
      expect("its lock", ANON_VMA_RWSEM, 0);
      if ((ofAnonVma.get(av) ?? []).length === 0)
        report(-1, "it is in use and no VMA is linked to it", `anon_vma ${av}`);
    }
  },
};

export const FILES_KNOW_THEIR_VMAS: KernelRule = {
  name: "files know their VMAs",
  says: "i_mmap has every VMA that maps the file, once, linked both ways, and no other",
  watch(view, report) {
    const { core } = view;
    const { vmas, w } = view.base;
    for (const file of view.files) {
      const say = (detail: string): void => report(-1, `i_mmap: ${detail}`, fileName(file));
      const first = core.pointer(file.inode, INODE_I_MMAP);
      const list = linked(view, first, VMA_SHARED_NEXT, VMA_SHARED_PREV, O_VMA, say);
      const must = [...view.objects[O_VMA]].filter(
        (v) => vmas.file(v) !== NONE && vmas.mapping(v) === file.mapping,
      );
      const has = new Set(list);
      if (list.length !== must.length || must.some((v) => !has.has(v)))
        say(`${list.length} VMAs are listed, ${must.length} map it`);
      if (w.load32(file.inode, INODE_I_MMAP_RWSEM) !== 0) say("its lock is held");
    }
  },
};

/** Whether the reverse map of a folio leads to this VMA. */
function leadsTo(view: ProcessView, folio: FolioView, vma: Ref): boolean {
  const { base } = view;
  const mapping = base.folios.mapping(folio.ref);
  if (!base.folios.isAnon(folio.ref))
    return base.vmas.file(vma) !== NONE && base.vmas.mapping(vma) === mapping;
  return anonVmaLeadsTo(view, mapping, vma);
}

/** Whether a VMA is linked to an anon_vma. */
export function anonVmaLeadsTo(view: ProcessView, anonVma: Ref, vma: Ref): boolean {
  const { core } = view;
  let n = 0;
  for (
    let avc = core.pointer(vma, VMA_ANON_VMA_CHAIN);
    avc !== NONE && n <= view.objects[O_AVC].size;
    avc = core.pointer(avc, AVC_SAME_VMA_NEXT), n++
  )
    if (core.pointer(avc, AVC_ANON_VMA) === anonVma) return true;
  return false;
}

function mapping(
  view: ProcessView,
  folio: FolioView,
  mm: MmView,
  vpn: number,
  page: number,
  report: KernelReport,
): void {
  const vma = view.vmaAt(mm, vpn);
  if (vma === undefined) return;
  const index = view.base.folios.index(folio.ref) + page;
  // Indexes are 32 bits that wrap: a mapping that grew over the end of the address space.
  const linear = (vma.pgoff + vpn - vma.start) | 0;
  if ((index | 0) !== linear)
    report(
      folio.pfn + page,
      `its index is ${index}, where it is mapped index ${linear} belongs`,
      place(mm, vpn),
    );
  if (!leadsTo(view, folio, vma.vma))
    report(folio.pfn + page, "its reverse map does not lead to a mapping", place(mm, vpn));
}

export const REVERSE_MAP_FINDS_ALL: KernelRule = {
  name: "the reverse map finds every mapping",
  says: "from a folio's mapping and index each VMA that maps one of its pages is found, at the address where it is",
  watch(view, report) {
    for (const folio of view.folios.values()) {
      if (folio.mappings.length === 0 || view.base.folios.isKsm(folio.ref)) continue;
      if (view.base.folios.mapping(folio.ref) === NONE) {
        report(folio.pfn, "it is mapped and has no mapping", holderOf(folio));
        continue;
      }
      for (const { mm, entry, page } of folio.mappings)
        mapping(view, folio, mm, entry.vpn, page, report);
    }
  },
};
