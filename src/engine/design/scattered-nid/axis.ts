/**
 * The scattered-nid axis: where node, zone and section of a scattered page are.
 *
 * Pages of a folio or slab share them, so the descriptor has them once; pages of
 * a scattered object do not. A choice says what the object's slots need and what
 * is written there; reading them back is the word axis's business, as for any
 * page (`zoneOf`).
 *
 * Facts: memdesc-facts §4.1, second mail of 2024-12-06; system.md, S1 (the table
 * that rebuilds node and zone is counted).
 */
import type { Ref } from "../../../units.js";
import type { Words } from "../../words/words.js";

export const SCATTERED_NIDS = ["word", "flags", "rebuilt"] as const;
export type NidName = (typeof SCATTERED_NIDS)[number];

export interface ScatteredNid {
  readonly name: NidName;
  /** Whether a slot has the page's flags, so that the page's number is kept beside it. */
  readonly inSlot: boolean;
  /** Writes what the slot must know: the page's location bits (high half of its flags) or its frame. */
  fill(w: Words, slot: Ref, pfn: number, location: number): void;
}
