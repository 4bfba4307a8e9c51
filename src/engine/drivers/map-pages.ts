/**
 * A driver's pages in user space: by frame number (no counts, GUP refused), or as
 * folios (counted like a file's pages).
 *
 * Source: mm/memory.c of 6.18 (remap_pfn_range: VM_IO | VM_PFNMAP | VM_DONTEXPAND |
 * VM_DONTDUMP and special entries; vm_insert_page: VM_MIXEDMAP, a reference and a map
 * count of each page).
 */
import { MmError } from "../errors.js";
import { MM_MMAP_LOCK, VMA_VM_OPS } from "../layout/generated/offsets.js";
import {
  ENOMEM,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
  VM_DONTDUMP,
  VM_DONTEXPAND,
  VM_IO,
  VM_MIXEDMAP,
  VM_PFNMAP,
} from "../process/constants.js";
import { pteHigh, pteLow, PTE_SPECIAL } from "../process/entry.js";
import { downWrite, upWrite } from "../process/locks.js";
import type { OpenFile } from "../process/open-file.js";
import type { Operations } from "../process/operations.js";
import { pteAt } from "../process/page-tables.js";
import type { Process } from "../process/process.js";
import { pteNx, pteRights } from "../process/protection.js";
import { OPS_PFN } from "../process/scattered/user-map.js";
import { PAGE_SIZE, type Ref } from "../../units.js";

/** By frame number, or counted as folios. */
export type HowMapped = "pfn" | "folio";

/** What a driver's mapping is beside that. */
export interface MappingKind {
  /** MAP_SHARED (default), or MAP_PRIVATE: pages are copied where they are written. */
  readonly flags?: number;
  /** VM_ flags that the driver sets itself; default: it does not grow, and is in no core dump. */
  readonly own?: number;
}

/** Maps frames one after another; the address. Throws MmError (ENOMEM, EINVAL), nothing mapped then. */
export function mapFrames(
  kernel: Operations,
  process: Process,
  file: OpenFile,
  frames: readonly number[],
  how: HowMapped,
  { flags = MAP_SHARED, own = VM_DONTEXPAND | VM_DONTDUMP }: MappingKind = {},
): number {
  const length = frames.length * PAGE_SIZE;
  const prot = PROT_READ | PROT_WRITE;
  const addr = process.mmap({ length, prot, flags, file });
  const error = insert(kernel, process.mm, addr / PAGE_SIZE, frames, how, own);
  if (error === 0) return addr;
  process.munmap(addr, length);
  throw new MmError(-error, `map ${frames.length} frames`, "no memory for page tables");
}

function insert(
  kernel: Operations,
  mm: Ref,
  start: number,
  frames: readonly number[],
  how: HowMapped,
  own: number,
): number {
  const { w, vmas, tables } = kernel.base;
  downWrite(w, mm, MM_MMAP_LOCK);
  const vma = vmas.tree.lookup(mm, start);
  const kind = how === "pfn" ? VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP : VM_MIXEDMAP;
  vmas.setFlags(vma, vmas.flags(vma) | kind | own);
  w.store32(vma, VMA_VM_OPS, OPS_PFN);
  let error = 0;
  for (let i = 0; i < frames.length && error === 0; i++) {
    const table = tables.ensurePte(mm, start + i);
    if (table === 0) error = ENOMEM;
    else insertOne(kernel, mm, vma, table, start + i, frames[i], how);
  }
  upWrite(w, mm, MM_MMAP_LOCK);
  return error;
}

function insertOne(
  kernel: Operations,
  mm: Ref,
  vma: Ref,
  table: Ref,
  vpn: number,
  pfn: number,
  how: HowMapped,
): void {
  const { w, vmas, tables, folios, counts, zap, core } = kernel.base;
  const desc = tables.lock(table);
  if (how === "folio") {
    const folio = folios.ofPage(pfn);
    folios.get(folio);
    counts.addPtes(folio, pfn, core.design.orderOf(pfn), 1, counts.mmId(vma));
    w.add32(mm, zap.rssOf(folio), 1);
  }
  const flags = vmas.flags(vma);
  const bits = pteRights(flags, false) | (how === "pfn" ? PTE_SPECIAL : 0);
  w.store64(table, pteAt(vpn), pteLow(pfn, bits), pteHigh(pfn) | pteNx(flags));
  tables.unlock(desc);
}
