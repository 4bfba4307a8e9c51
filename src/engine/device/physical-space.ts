/**
 * The physical address space of a machine, as far as it matters to devices: RAM,
 * what the firmware put behind it, PCI windows, and the stretches that
 * device-private memory was given.
 *
 * A free stretch is searched from the top, in steps of a section.
 *
 * Source: kernel/resource.c of 6.18 (request_free_mem_region, get_free_mem_region
 * with GFR_DESCENDING: align 128 MiB, −ERANGE where there is none). Simplified: at
 * most 43 bits, where x86-64 has 46 or more.
 */
import type { DeviceRoom } from "../machine.js";
import type { DeviceRequest } from "../machine-plan.js";
import { ERANGE } from "./kinds.js";

const PAGE = 4096;
/** Pages of a section: what is given is a multiple of it. */
const ALIGN = 32768;
const BITS_MAX = 43;
const BITS_MIN = 36;

/** A stretch that is taken, in pages. */
interface Resource {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

export class PhysicalSpace {
  /** Bits of a physical address. */
  readonly bits: number;
  readonly #taken: Resource[];

  /** Throws RangeError for a width or a window that cannot be. */
  constructor(room: DeviceRoom, asked: DeviceRequest | undefined) {
    this.bits = asked?.physicalBits ?? BITS_MAX;
    if (!Number.isInteger(this.bits) || this.bits < BITS_MIN || this.bits > BITS_MAX)
      throw new RangeError(
        `device.physicalBits is a whole number, ${BITS_MIN} … ${BITS_MAX}, not ${this.bits}`,
      );
    this.#taken = [
      { name: "System RAM", start: 0, end: room.first },
      { name: "devices", start: room.first, end: room.first + room.span },
      ...(asked?.windows ?? []).map(({ name, start, size }) => ({
        name,
        start: Math.floor(start / PAGE),
        end: Math.ceil((start + size) / PAGE),
      })),
    ];
    for (const { name, start, end } of this.#taken)
      if (!(start >= 0 && end >= start && end <= this.pages))
        throw new RangeError(`${name} does not fit ${this.bits} bits of physical addresses`);
  }

  /** Pages of the whole space. */
  get pages(): number {
    return 2 ** (this.bits - 12);
  }

  /** What is taken, by address. */
  resources(): readonly Resource[] {
    return this.#taken.toSorted((a, b) => a.start - b.start);
  }

  /** get_free_mem_region: first page of the highest free stretch, or −ERANGE. */
  find(pages: number): number {
    const size = Math.ceil(pages / ALIGN) * ALIGN;
    // gfr_continue: the first section is never tried.
    for (let start = this.pages - size; start > ALIGN; start -= ALIGN) {
      const hit = this.#taken.find((r) => r.start < start + size && start < r.end);
      if (hit === undefined) {
        this.#taken.push({ name: "device-private", start, end: start + size });
        return start;
      }
      // Nothing between here and its beginning is free: go there at once.
      const below = Math.floor((hit.start - size) / ALIGN) * ALIGN + ALIGN;
      if (below < start) start = below;
    }
    return ERANGE;
  }

  give(first: number, _pages: number): void {
    const at = this.#taken.findIndex((r) => r.start === first && r.name === "device-private");
    if (at >= 0) this.#taken.splice(at, 1);
  }
}
