/**
 * slot: each page points at its own slot in the object, so that it leads to the
 * object and to the page's index there; a slot of 16 bytes, as pointers in words
 * must be aligned to that.
 */
import type { Ref } from "../../../units.js";
import { SCATTERED_SLOT_OBJECT } from "../../layout/generated/offsets.js";
import { refOfAddress } from "../../words/words.js";
import { MISC_VMALLOC, type LookupContext, type ScatteredLookup } from "./axis.js";

export class SlotLookup implements ScatteredLookup {
  readonly name = "slot";
  readonly fromPage = true;
  readonly mappingHolds = "page";
  readonly slotBytes = 16;
  readonly #c: LookupContext;

  constructor(context: LookupContext) {
    this.#c = context;
  }

  enter(pfn: number, zone: number, _object: Ref, slot: Ref): boolean {
    this.#c.link.bindScattered(pfn, slot, zone);
    return true;
  }

  leave(pfn: number): void {
    const zone = this.#c.link.zoneOf(pfn);
    this.#c.link.bindScattered(pfn, 0 as Ref, zone);
    this.#c.link.bindMisc(pfn, 0, MISC_VMALLOC, true, zone);
  }

  ofPage(pfn: number): Ref {
    const slot = this.#c.link.scatteredOf(pfn);
    if (slot === 0) return slot;
    const lo = this.#c.w.load64(slot, SCATTERED_SLOT_OBJECT);
    return refOfAddress(lo, this.#c.w.hi);
  }

  ofVma(_privateData: Ref, _filePrivate: Ref): Ref {
    return 0 as Ref;
  }
}
