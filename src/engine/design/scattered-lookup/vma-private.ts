/**
 * vma-private: vma->vm_private_data leads to the object, and each VMA holds it;
 * copied when a VMA is forked, split or moved. The page says node and zone and
 * nothing else, so GUP-fast gives up and a pin carries the object.
 */
import type { Ref } from "../../../units.js";
import { MISC_VMALLOC, type LookupContext, type ScatteredLookup } from "./axis.js";

export class VmaPrivate implements ScatteredLookup {
  readonly name = "vma-private";
  readonly fromPage = false;
  readonly mappingHolds = "vma";
  readonly slotBytes = 0;
  readonly #c: LookupContext;

  constructor(context: LookupContext) {
    this.#c = context;
  }

  enter(pfn: number, zone: number, _object: Ref, _slot: Ref): boolean {
    this.#c.link.bindMisc(pfn, 0, MISC_VMALLOC, true, zone);
    return true;
  }

  leave(_pfn: number): void {}

  ofPage(_pfn: number): Ref {
    return 0 as Ref;
  }

  ofVma(privateData: Ref, _filePrivate: Ref): Ref {
    return privateData;
  }
}
