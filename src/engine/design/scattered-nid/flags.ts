/**
 * flags: the object has flags[], a word for every page. The page's index must be
 * known to read them, so each page leads to its slot; page numbers are then in an
 * array of their own.
 */
import type { Ref } from "../../../units.js";
import { SCATTERED_SLOT_FLAGS } from "../../layout/generated/offsets.js";
import type { Words } from "../../words/words.js";
import type { ScatteredNid } from "./axis.js";

export const NID_IN_FLAGS: ScatteredNid = {
  name: "flags",
  inSlot: true,
  fill: (w: Words, slot: Ref, _pfn: number, location: number) =>
    w.store64(slot, SCATTERED_SLOT_FLAGS, 0, location),
};
