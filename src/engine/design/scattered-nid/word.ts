/** word: the page's own word keeps node and zone, as a Misc page's does; a slot names the page. */
import type { Ref } from "../../../units.js";
import { SCATTERED_SLOT_PAGE } from "../../layout/generated/offsets.js";
import type { Words } from "../../words/words.js";
import type { ScatteredNid } from "./axis.js";

export const NID_IN_WORD: ScatteredNid = {
  name: "word",
  inSlot: false,
  fill: (w: Words, slot: Ref, pfn: number, _location: number) =>
    w.store64(slot, SCATTERED_SLOT_PAGE, pfn, 0),
};
