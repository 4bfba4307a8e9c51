/**
 * per-page: every page counts its own references and mappings, as Linux 6.18
 * does: remap_vmalloc_range maps with vm_insert_page, which takes a reference and
 * a map count of each page.
 *
 * Proposal 1 of the mail of 2024-12-06: "too much overhead for the precision".
 */
import type { Ref } from "../../../units.js";
import type { PageCounts, ScatteredObject } from "./axis.js";

export class PerPage implements ScatteredObject {
  readonly name = "per-page";
  readonly holds = "page";
  readonly standsAlone = true;
  readonly mapcounts = true;
  readonly #pages: PageCounts;

  constructor(pages: PageCounts) {
    this.#pages = pages;
  }

  /** Whatever the count was (1 for a page of today's kernel, 0 at the 32-byte stage), it is 1 now. */
  init(_object: Ref, pfn: number): void {
    this.#pages.addPageRefs(pfn, 1 - this.#pages.addPageRefs(pfn, 0));
  }

  tryGet(_object: Ref, pfn: number, n: number): boolean {
    return this.#pages.tryGetPage(pfn, n);
  }

  put(_object: Ref, pfn: number, n: number): number {
    return this.#pages.addPageRefs(pfn, -n);
  }

  count(_object: Ref, pfn: number): number {
    return this.#pages.addPageRefs(pfn, 0);
  }
}
