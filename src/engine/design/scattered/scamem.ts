/**
 * scamem: an object of its own between the page and the area, counted. The area
 * holds it once, every mapping and pin holds it, it goes with its last holder
 * wherever that happens; the vm_struct goes with the area.
 *
 * Proposal 4, second mail of 2024-12-06 ("not embedded in vm_struct").
 */
import type { Ref } from "../../../units.js";
import { SCAMEM_REFCOUNT } from "../../layout/generated/offsets.js";
import type { Words } from "../../words/words.js";
import { countUp, type ScatteredObject } from "./axis.js";

export class Scamem implements ScatteredObject {
  readonly name = "scamem";
  readonly holds = "object";
  readonly standsAlone = true;
  readonly mapcounts = false;
  readonly #w: Words;

  constructor(w: Words) {
    this.#w = w;
  }

  init(object: Ref, _pfn: number): void {
    this.#w.store32(object, SCAMEM_REFCOUNT, 1);
  }

  tryGet(object: Ref, _pfn: number, n: number): boolean {
    return countUp(this.#w, object, SCAMEM_REFCOUNT, n);
  }

  put(object: Ref, _pfn: number, n: number): number {
    return this.#w.add32(object, SCAMEM_REFCOUNT, -n);
  }

  count(object: Ref, _pfn: number): number {
    return this.#w.load32(object, SCAMEM_REFCOUNT);
  }
}
