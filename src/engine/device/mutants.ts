/**
 * Bugs that the lists found in real patches, each a switch of the engine, off by
 * default: what a checker is worth is whether it finds them.
 *
 * Facts: device-facts §2.4–2.6.
 */

export const MUTANTS = {
  /**
   * A reverse-map walk compares numbers and not whether they are of the same kind (before
   * PVMW_DEVICE_PRIVATE), for a device's page and for a frame. Only where numbers of both
   * kinds overlap (offset, tuple).
   */
  aliasing: "page_vma_mapped_walk compares numbers without their kind",
  /** Coherent memory's migrate pfns are marked as device-private offsets (v1 of the series): offset, tuple. */
  "coherent-mix": "coherent pages are marked MIGRATE_PFN_DEVICE_PRIVATE",
  /**
   * Any device-private PMD is taken for the one that is looked for, also by a walk for
   * migration entries, and as it was seen without the lock (before June 2026). In every
   * design.
   */
  "pmd-walk": "a device-private PMD is found without comparing its number",
  /** snapshot_page asks is_zero_pfn of a device offset: offset, tuple. */
  "zero-pfn": "a page snapshot tests for the zero page on an offset",
  /** NUMA_NO_NODE reaches the pages' flags (v2 of the series): offset, tuple. */
  "numa-none": "a page map without a node gives its pages none",
  /**
   * The array of pages is freed before its range leaves the tree, as in v6: offset, tuple,
   * with records that are freed with their map.
   */
  "free-before-erase": "records are freed before their numbers are taken back",
} as const;

export type MutantName = keyof typeof MUTANTS;

/** Which bugs are switched on. */
export class Mutants {
  aliasing = false;
  coherentMix = false;
  pmdWalk = false;
  zeroPfn = false;
  numaNone = false;
  freeBeforeErase = false;

  set(name: MutantName, on = true): void {
    const field = name.replace(/-(.)/g, (_, c: string) => c.toUpperCase()) as keyof Omit<
      Mutants,
      "set"
    >;
    this[field] = on;
  }
}
