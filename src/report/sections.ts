/**
 * The page array as today's kernel lays it out: whole memory sections.
 *
 * With SPARSEMEM_VMEMMAP a section of 128 MiB (x86-64; arm64 with 4 KiB pages
 * since 5.12) that has any memory has page structures for all its frames, also
 * for holes inside it. A section without memory has none. So the array is
 * sections × 32,768 × sizeof(struct page), as vmstat's nr_memmap_boot_pages
 * confirms on every fixture that has it.
 */
import { SECTION_PAGES } from "../engine/pages/zones.js";
import { kindId } from "../observe/kinds.js";
import type { ObjectRuns } from "../observe/objects.js";
import type { Snapshot } from "../observe/snapshot.js";

const ABSENT = kindId("absent");

/** Bytes of struct page: as BTF says, else 64 as on every 64-bit distribution kernel. */
export function structPageSize(snapshot: Pick<Snapshot, "structSizes">): number {
  return snapshot.structSizes?.["page"] ?? 64;
}

/** Frames in sections that hold at least one frame that exists. */
export function framesWithPageStructure(objects: ObjectRuns): number {
  let sections = 0;
  let counted = -1;
  for (let i = 0; i < objects.length; i++) {
    if (objects.kind[i] === ABSENT) continue;
    const first = Math.floor(objects.start[i] / SECTION_PAGES);
    const end = objects.start[i] + objects.pages[i] * objects.count[i];
    const last = Math.floor((end - 1) / SECTION_PAGES);
    sections += last - Math.max(first, counted + 1) + 1;
    counted = Math.max(counted, last);
  }
  return sections * SECTION_PAGES;
}
