/**
 * vm-struct: the area itself is counted. A mapping or a pin of one page holds the
 * whole area; it goes when the count is zero, vfree is only one who lets go.
 *
 * Proposal 3 of the mail of 2024-12-06, its favourite there. The count shares its
 * bytes with phys_addr, which only ioremap areas use (invented).
 */
import type { Ref } from "../../../units.js";
import { VM_STRUCT_REFCOUNT } from "../../layout/generated/offsets.js";
import type { Words } from "../../words/words.js";
import { countUp, type ScatteredObject } from "./axis.js";

export class VmStructCount implements ScatteredObject {
  readonly name = "vm-struct";
  readonly holds = "object";
  readonly standsAlone = false;
  readonly mapcounts = false;
  readonly #w: Words;

  constructor(w: Words) {
    this.#w = w;
  }

  init(object: Ref, _pfn: number): void {
    this.#w.store32(object, VM_STRUCT_REFCOUNT, 1);
  }

  tryGet(object: Ref, _pfn: number, n: number): boolean {
    return countUp(this.#w, object, VM_STRUCT_REFCOUNT, n);
  }

  put(object: Ref, _pfn: number, n: number): number {
    return this.#w.add32(object, VM_STRUCT_REFCOUNT, -n);
  }

  count(object: Ref, _pfn: number): number {
    return this.#w.load32(object, VM_STRUCT_REFCOUNT);
  }
}
