/**
 * word: the page holds a pointer to the object. In an 8-byte word it takes the
 * place of everything else, node and zone included; wider words keep both.
 */
import type { Ref } from "../../../units.js";
import { MISC_VMALLOC, type LookupContext, type ScatteredLookup } from "./axis.js";

export class WordLookup implements ScatteredLookup {
  readonly name = "word";
  readonly fromPage = true;
  readonly mappingHolds = "page";
  readonly slotBytes = 0;
  readonly #c: LookupContext;

  constructor(context: LookupContext) {
    this.#c = context;
  }

  enter(pfn: number, zone: number, object: Ref, _slot: Ref): boolean {
    this.#c.link.bindScattered(pfn, object, zone);
    return true;
  }

  leave(pfn: number): void {
    const zone = this.#c.link.zoneOf(pfn);
    this.#c.link.bindScattered(pfn, 0 as Ref, zone);
    this.#c.link.bindMisc(pfn, 0, MISC_VMALLOC, true, zone);
  }

  ofPage(pfn: number): Ref {
    return this.#c.link.scatteredOf(pfn);
  }

  ofVma(_privateData: Ref, _filePrivate: Ref): Ref {
    return 0 as Ref;
  }
}
