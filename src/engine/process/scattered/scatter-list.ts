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
import { ERRNO, MmError } from "../../errors.js";
import type { Ref } from "../../../units.js";
import { Area, PagesObject } from "./area.js";
import type { FreeReport, ScatteredBase } from "./scattered-base.js";

/** Single pages as one object: what `Scattered.list` gives. */
export class ScatterList extends PagesObject {
  readonly #object: Ref;
  readonly #pages: number;
  /** Views of it in the kernel's range. */
  readonly #views: Area[] = [];
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
    if (this.#freed) throw new MmError(ERRNO.EINVAL, "use a list", "it was freed");
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
    const view = new Area(this.scattered, vm);
    this.#views.push(view);
    return view;
  }

  /** The driver lets go. Throws MmError (EINVAL) the second time. */
  free(): FreeReport {
    const { scattered } = this;
    const object = this.object();
    const array = this.array();
    const report = scattered.reporting(this.#pages, () =>
      scattered.dropList(object, array, this.#pages),
    );
    this.#freed = true;
    for (const view of this.#views) view.ownerLetGo();
    return report;
  }
}
