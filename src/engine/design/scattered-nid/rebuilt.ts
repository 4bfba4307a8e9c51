/**
 * rebuilt: node and zone follow from the frame by the table of one byte per
 * pageblock that the small words have for free pages anyway, and pay for.
 */
import type { Ref } from "../../../units.js";
import { SCATTERED_SLOT_PAGE } from "../../layout/generated/offsets.js";
import type { Words } from "../../words/words.js";
import type { ScatteredNid } from "./axis.js";

export const NID_REBUILT: ScatteredNid = {
  name: "rebuilt",
  inSlot: false,
  fill: (w: Words, slot: Ref, pfn: number, _location: number) =>
    w.store64(slot, SCATTERED_SLOT_PAGE, pfn, 0),
};
