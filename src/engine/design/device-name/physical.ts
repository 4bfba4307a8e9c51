/**
 * physical: device-private pages have page frame numbers of a stretch of physical
 * address space that nothing answers at, searched from the top.
 *
 * The stretch is whole sections, and a table of sections, as SPARSEMEM has one,
 * leads from a pfn to the page. The numbers are pfns among pfns: no entry says
 * that they are not.
 *
 * Source: kernel/resource.c (request_free_mem_region, GFR_DEFAULT_ALIGN: the
 * section size), mm/sparse.c of 6.18; device-facts §2.1.
 */
import { devicePage, pfn, type DevicePage, type Pfn, type Ref } from "../../../units.js";
import { PGMAP, type DeviceNameContext, type PhysicalNaming } from "./axis.js";

/** Pages of a section: 128 MiB. */
const SECTION_SHIFT = 15;
const SECTION_PAGES = 1 << SECTION_SHIFT;
/** A row of the section table: first page of the records, and the page map. */
const ROW = 8;

const ERANGE = -34;

export class PhysicalName implements PhysicalNaming {
  readonly name = "physical";
  readonly ownKind = false;
  readonly bits = { number: 31, space: 0 };
  /** get_free_mem_region finds no stretch. */
  readonly beyond = ERANGE;
  readonly #c: DeviceNameContext;

  constructor(context: DeviceNameContext) {
    this.#c = context;
  }

  /** Sections that a page map takes. */
  #sections(pgmap: Ref): number {
    return Math.ceil(this.#c.w.load32(pgmap, PGMAP.pages) / SECTION_PAGES);
  }

  assign(pgmap: Ref): number {
    const { w } = this.#c;
    const sections = this.#sections(pgmap);
    const start = this.#c.findPhysical(sections * SECTION_PAGES);
    if (start < 0) return start;
    w.store32(pgmap, PGMAP.start, start);
    const first = w.load32(pgmap, PGMAP.first);
    for (let i = 0; i < sections; i++)
      this.#setSection((start >>> SECTION_SHIFT) + i, first + i * SECTION_PAGES, pgmap);
    return 0;
  }

  #setSection(section: number, first: number, pgmap: Ref): void {
    this.#c.w.store32(this.#c.spaces, section * ROW, first);
    this.#c.w.store32(this.#c.spaces, section * ROW + 4, pgmap);
  }

  retire(pgmap: Ref): void {
    const start = this.#c.w.load32(pgmap, PGMAP.start);
    const sections = this.#sections(pgmap);
    for (let i = 0; i < sections; i++) this.#setSection((start >>> SECTION_SHIFT) + i, 0, 0 as Ref);
    this.#c.givePhysical(start, sections * SECTION_PAGES);
  }

  find(lo: number, _hi: number): number {
    const first = this.#c.w.load32(this.#c.spaces, (lo >>> SECTION_SHIFT) * ROW);
    return first === 0 ? -1 : first + (lo & (SECTION_PAGES - 1));
  }

  mapOf(lo: number, _hi: number): Ref {
    return this.#c.w.load32(this.#c.spaces, (lo >>> SECTION_SHIFT) * ROW + 4) as Ref;
  }

  numberLow(page: number, pgmap: Ref): number {
    const { w } = this.#c;
    return w.load32(pgmap, PGMAP.start) + page - w.load32(pgmap, PGMAP.first);
  }

  numberHigh(_page: number, _pgmap: Ref): number {
    return 0;
  }

  pfnOf(page: DevicePage, pgmap: Ref): Pfn {
    return pfn(this.numberLow(page, pgmap));
  }

  pageOf(number: Pfn): DevicePage | -1 {
    const pgmap = this.mapOf(number, 0);
    if (pgmap === 0) return -1;
    const { w } = this.#c;
    const index = number - w.load32(pgmap, PGMAP.start);
    // The stretch is whole sections, the map need not be.
    if (index >= w.load32(pgmap, PGMAP.pages)) return -1;
    const page = w.load32(pgmap, PGMAP.first) + index;
    this.#c.looked(page);
    return devicePage(page);
  }
}
