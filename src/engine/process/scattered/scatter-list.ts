/**
 * A driver's scatter list: some pages as one object, without an address in the
 * kernel's range until somebody asks for one.
 *
 * The object is the same as a vmalloc area's, so its pages can be mapped and
 * pinned and outlive the driver's own reference. A vm_struct is an area and no
 * list: where it has the count, a list of pages is refused.
 *
 * Facts: second mail of 2024-12-06 ("a number of places that we allocate some
 * pages, but want to treat them as a single object, not just vmalloc").
 */
import { MmError } from "../../errors.js";
import type { Ref } from "../../../units.js";
import { Area, PagesObject } from "./area.js";
import type { FreeReport, ScatteredBase } from "./scattered-base.js";

export class ScatterList extends PagesObject {
  readonly #object: Ref;
  readonly #pages: number;
  #freed = false;

  constructor(scattered: ScatteredBase, object: Ref, pages: number) {
    super(scattered);
    this.#object = object;
    this.#pages = pages;
  }

  get pages(): number {
    return this.#pages;
  }

  protected object(): Ref {
    if (this.#freed) throw new RangeError("the list was freed");
    return this.#object;
  }

  protected array(): Ref {
    const { objects } = this.scattered;
    const object = this.object();
    return objects.counted ? objects.pagesOf(object) : object;
  }

  protected mayMap(): string | null {
    return null;
  }

  /** vmap: the kernel's view of it, which holds the object too. Throws MmError (ENOMEM). */
  vmap(): Area {
    const vm = this.scattered.viewOf(this.object(), this.frames());
    if (vm === 0) throw new MmError(12, `vmap ${this.#pages} pages`, "no memory");
    return new Area(this.scattered, vm);
  }

  /** The driver lets go. */
  free(): FreeReport {
    const { scattered } = this;
    const object = this.object();
    const array = this.array();
    const report = scattered.reporting(this.#pages, () =>
      scattered.dropList(object, array, this.#pages),
    );
    this.#freed = true;
    return report;
  }
}
