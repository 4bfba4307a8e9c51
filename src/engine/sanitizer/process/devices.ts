/**
 * Drivers' memory and scattered memory in the naive reference: who made it, who
 * may still reach it, and so which of its pages are there.
 *
 * To a process both are files whose pages are all mapped at once. What differs
 * from design to design is only who keeps the pages: nobody, each mapped page, the
 * VMA, the open file.
 */
import { isFolioType } from "../../design/word/axis-types.js";
import { DriverMemory, type DriverBlock } from "../../drivers/driver-memory.js";
import type { Kernel } from "../../process/kernel.js";
import type { Area } from "../../process/scattered/area.js";
import type { ScatterList } from "../../process/scattered/scatter-list.js";
import type { HeldBlock } from "../view.js";
import type { Cell, RefObject, RefProcess } from "./reference.js";
import { pageBlock } from "./scattered-books.js";
import type { HeldFolio } from "./shape.js";

const PAGE = 4096;

/** What a driver or the kernel made for processes to map. */
export interface Device {
  readonly object: RefObject;
  /** Who made it; null once it let go. */
  owner: Area | ScatterList | DriverBlock | null;
  /** Frames in order. */
  readonly frames: readonly number[];
  /** A driver's folio: found by the sanitizer as all folios are. */
  readonly folio: boolean;
  /** A driver's block mapped by frame number. */
  readonly number: boolean;
}

/** Who may reach the pages of a device. */
export interface Users {
  readonly refs: readonly RefProcess[];
  /** Cells of all pages that GUP got. */
  readonly cells: readonly (Cell | null)[];
}

/** Objects mapped by frame number: no counts, no GUP, no way to give a page up. */
const BY_NUMBER = new WeakSet<RefObject>();
/** Whether an object's pages are mapped by frame number. */
export const byNumber = (object: RefObject | null): boolean =>
  object !== null && BY_NUMBER.has(object);

export class Devices {
  readonly kernel: Kernel;
  readonly list: Device[] = [];
  #driver: DriverMemory | null = null;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** The driver, opened at first use. Throws MmError (ENOMEM). */
  get driver(): DriverMemory {
    return (this.#driver ??= new DriverMemory(this.kernel));
  }

  add(owner: Area | ScatterList | DriverBlock): Device {
    const block = "kind" in owner ? owner : null;
    const frames =
      block === null
        ? (owner as Area | ScatterList).frames()
        : Array.from({ length: block.pages }, (_, i) => block.pfn + i);
    const object: RefObject = { kind: "device", size: frames.length * PAGE, pages: new Map() };
    const number = block !== null && block.kind !== "folio";
    if (number || (block === null && this.#choice === "none")) BY_NUMBER.add(object);
    const device = { object, owner, frames, folio: block?.kind === "folio", number };
    this.list.push(device);
    return device;
  }

  /** The device drops out of the books: nobody can reach it any more. */
  forget(users: Users): void {
    for (let i = this.list.length - 1; i >= 0; i--) {
      const device = this.list[i];
      if (device.owner === null && !this.#used(device, users)) this.list.splice(i, 1);
    }
  }

  get #choice(): string {
    return this.kernel.machine.choice.scattered;
  }

  /** GUP on a device's memory: refused where frames are mapped by number. */
  mayPin(object: RefObject): boolean {
    return !byNumber(object);
  }

  /** Whether anything but the owner leads to it. */
  #used({ object }: Device, { refs, cells }: Users): boolean {
    const held = new Set(object.pages.values());
    return (
      cells.some((cell) => cell !== null && held.has(cell)) ||
      refs.some((ref) => [...ref.pages.values()].some((page) => page.object === object))
    );
  }

  /** Pages of scattered memory that somebody keeps. */
  #kept({ object, frames, owner }: Device, { refs, cells }: Users): boolean[] {
    const { machine } = this.kernel;
    const all = (yes: boolean): boolean[] => frames.map(() => yes);
    if (owner !== null) return all(true);
    if (this.#choice === "none") return all(false);
    const lookup = machine.choice.scatteredLookup;
    const byMapping = lookup === "vma-private" || lookup === "file-private";
    const mapped = all(false);
    let mappings = 0;
    for (const ref of refs)
      for (const page of ref.pages.values()) {
        if (page.object !== object) continue;
        // A VMA or file keeps the object also where its pages were given up.
        if (!page.gone) mapped[page.index] = true;
        if (!page.gone || byMapping) mappings++;
      }
    const got = new Set(cells);
    for (const [index, cell] of object.pages) if (got.has(cell)) mapped[index] = true;
    const any = mappings > 0 || mapped.includes(true);
    return this.#choice === "per-page" ? mapped : all(any);
  }

  /** Blocks that are there and no folios, for the sanitizer. */
  blocks(users: Users): HeldBlock[] {
    return this.list.flatMap((device) => {
      const { owner, frames, folio, number } = device;
      if (folio || (number && owner === null)) return [];
      if (number && owner !== null && "order" in owner)
        return [{ ...pageBlock(this.kernel, owner.pfn), order: owner.order }];
      const kept = this.#kept(device, users);
      return frames.filter((_pfn, i) => kept[i]).map((pfn) => pageBlock(this.kernel, pfn));
    });
  }

  /** The drivers' own references to folios. */
  folios(): HeldFolio[] {
    const { design } = this.kernel.machine;
    return this.list
      .filter(
        ({ folio, owner, frames }) =>
          folio && owner !== null && isFolioType(design.typeOf(frames[0])),
      )
      .map(({ frames }) => ({ pfn: frames[0], refs: 1, pins: 0, who: "a driver" }));
  }

  /** Everybody lets go. */
  finish(): void {
    for (const device of this.list.splice(0)) device.owner?.free();
    this.#driver?.file.close();
    this.#driver = null;
  }
}
