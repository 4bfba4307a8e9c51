/**
 * The scattered-lookup axis: from what a page or a mapping gives to the object.
 *
 * Two questions are asked. GUP-fast and a release have a page and nothing else:
 * `ofPage`. GUP-slow, fork and munmap have the VMA too: `ofVma`. A choice that
 * answers only the second needs pins that carry the object. Who holds a reference
 * for a mapping follows from it: each mapped page, the VMA, or the open file.
 *
 * Facts: memdesc-facts §4.1; second mail of 2024-12-06.
 */
import type { Ref } from "../../../units.js";
import type { Words } from "../../words/words.js";

export const SCATTERED_LOOKUPS = [
  "word",
  "slot",
  "vma-private",
  "file-private",
  "pfn-index",
] as const;
export type LookupName = (typeof SCATTERED_LOOKUPS)[number];

export interface ScatteredLookup {
  readonly name: LookupName;
  /** Whether the page alone leads to the object: GUP-fast works, a release needs the page only. */
  readonly fromPage: boolean;
  /** What has a reference for a mapping. */
  readonly mappingHolds: "page" | "vma" | "file";
  /** Bytes that the object has for each page beside its number. */
  readonly slotBytes: number;

  /**
   * Page `pfn` (zone index `zone`) belongs to `object`; `slot` is its slot there,
   * 0 where there are none. False without memory, with nothing changed.
   */
  enter(pfn: number, zone: number, object: Ref, slot: Ref): boolean;
  /** It does no longer. */
  leave(pfn: number): void;
  /** The object of a page; 0 for a page that is none of an object's, or where the page cannot say. */
  ofPage(pfn: number): Ref;
  /** What a VMA leads to, from its own private word and its file's; 0 where the choice has it nowhere. */
  ofVma(privateData: Ref, filePrivate: Ref): Ref;
}

/** A page's own way to an object or slot, as the word axis keeps it. */
export interface PageLink {
  bindScattered(pfn: number, to: Ref, zone: number): void;
  scatteredOf(pfn: number): Ref;
  bindMisc(pfn: number, order: number, subtype: number, mappable: boolean, zone: number): void;
  zoneOf(pfn: number): number;
}

/** What a choice is built on. */
export interface LookupContext {
  readonly w: Words;
  readonly link: PageLink;
  /** Where the index's root is: its word at offset 0, its height at 4. */
  readonly indexRoot: Ref;
  /** A zeroed index node (struct XA_NODE), 0 without memory; and giving it back. */
  readonly newNode: () => Ref;
  readonly freeNode: (node: Ref) => void;
}

/** Misc subtype of a page whose word leads nowhere. */
export const MISC_VMALLOC = 3;
