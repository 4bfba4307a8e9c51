/**
 * When the rows of the records are there: with their map, in chunks that come when one of
 * their pages is first touched and stay until the map goes, or for folios in service only.
 *
 * A row that is not there has no frame behind it, and what its words say is of no account.
 *
 * Source: mm/memremap.c (rows with their map); chunks as drivers make them
 * (dmirror_allocate_chunk, nouveau_dmem_chunk_alloc); rows that come with a request are
 * where the proposal wants to get to (seed 001), invented.
 */
import type { DeviceRecord } from "../design/device-record/axis.js";
import type { DeviceChoice } from "../design/device-rules.js";
import type { DeviceArea } from "../pages/device-area.js";
import type { DevPagemap } from "./pagemap.js";

/** Pages whose records come together where the lifetime is `chunk`: nouveau's 2 MiB. */
export const CHUNK_PAGES = 512;
/** No chunk was made. */
export const NO_CHUNKS: readonly number[] = [];

export class RecordRows {
  readonly choice: DeviceChoice;
  readonly area: DeviceArea;
  readonly #recordOf: (page: number) => DeviceRecord;

  constructor(choice: DeviceChoice, area: DeviceArea, recordOf: (page: number) => DeviceRecord) {
    this.choice = choice;
    this.area = area;
    this.#recordOf = recordOf;
  }

  isThere(record: DeviceRecord, page: number): boolean {
    return this.area.isThere(record.rowRef(page), record.rowOff(page), record.bytesPerPage);
  }

  /** The row of a page is not there: the first page behind it whose row may be. */
  behindGap(record: DeviceRecord, page: number): number {
    const { area } = this;
    const ref = record.rowRef(page);
    const off = record.rowOff(page);
    const at = area.pageOf(ref, off);
    const bytes = area.bytesLeft(ref, off) + (area.nextThere(at + 1) - at - 1) * area.pageBytes;
    return page + Math.ceil(bytes / record.bytesPerPage);
  }

  #takeBytes(page: number, pages: number): boolean {
    const record = this.#recordOf(page);
    return this.area.take(record.rowRef(page), record.rowOff(page), pages * record.bytesPerPage);
  }

  #giveBytes(page: number, pages: number): void {
    const record = this.#recordOf(page);
    this.area.give(record.rowRef(page), record.rowOff(page), pages * record.bytesPerPage);
  }

  /** All rows of a static map, range by range; false without memory, with nothing changed. */
  takeAll(map: DevPagemap): boolean {
    for (const [i, { start, pages }] of map.ranges.entries()) {
      if (!this.#takeBytes(start, pages)) {
        for (const range of map.ranges.slice(0, i)) this.#giveBytes(range.start, range.pages);
        return false;
      }
      this.#blank(map, start, pages);
    }
    return true;
  }

  /** What a map that is gone still has: all of them, or the chunks that came to be. */
  giveAll(map: DevPagemap): void {
    const { deviceLifetime } = this.choice;
    for (const { start, pages } of map.ranges) {
      if (deviceLifetime === "static") this.#giveBytes(start, pages);
      if (deviceLifetime !== "chunk") continue;
      for (let at = start; at < start + pages; at += CHUNK_PAGES)
        if (this.isThere(this.#recordOf(at), at)) this.#giveChunk(map, at);
    }
  }

  /**
   * Rows of a folio, made where the lifetime says so: the first pages of the chunks that
   * were made for it; null without memory, with nothing changed.
   */
  take(map: DevPagemap, page: number, order: number): readonly number[] | null {
    const { deviceLifetime } = this.choice;
    const pages = 1 << order;
    if (deviceLifetime === "static") return NO_CHUNKS;
    if (deviceLifetime === "request") return this.#takeBytes(page, pages) ? NO_CHUNKS : null;
    let made: number[] | null = null;
    for (let at = this.#chunkOf(map, page); at < page + pages; at += CHUNK_PAGES) {
      if (this.isThere(this.#recordOf(at), at)) continue;
      if (!this.#takeChunk(map, at)) {
        for (const chunk of made ?? NO_CHUNKS) this.#giveChunk(map, chunk);
        return null;
      }
      (made ??= []).push(at);
    }
    return made ?? NO_CHUNKS;
  }

  /** Undoes `take`, or gives back the rows of a folio that is idle again. */
  give(map: DevPagemap, page: number, order: number, made: readonly number[] = NO_CHUNKS): void {
    for (const chunk of made) this.#giveChunk(map, chunk);
    if (this.choice.deviceLifetime === "request") this.#giveBytes(page, 1 << order);
  }

  /** A folio in service was cut into folios of a smaller order: each gives its own rows back. */
  split(page: number, order: number, newOrder: number): void {
    if (this.choice.deviceLifetime !== "request") return;
    for (let at = page; at < page + (1 << order); at += 1 << newOrder)
      this.#takeBytes(at, 1 << newOrder);
    this.#giveBytes(page, 1 << order);
  }

  /** An idle page is touched, as `init` allows: its row is there afterwards; false without memory. */
  ensure(map: DevPagemap, page: number): boolean {
    const chunk = this.#chunkOf(map, page);
    if (this.choice.deviceLifetime !== "chunk" || this.isThere(this.#recordOf(page), chunk))
      return true;
    return this.#takeChunk(map, chunk);
  }

  /** First page of the chunk that a page belongs to: chunks are counted from the start of a range. */
  #chunkOf(map: DevPagemap, page: number): number {
    const start = map.rangeOf(page)?.start ?? page;
    return start + Math.floor((page - start) / CHUNK_PAGES) * CHUNK_PAGES;
  }

  /** Pages of the chunk that begins there: the last one of a range may be short. */
  #chunkPages(map: DevPagemap, chunk: number): number {
    const range = map.rangeOf(chunk);
    return range === undefined ? 0 : Math.min(CHUNK_PAGES, range.start + range.pages - chunk);
  }

  #takeChunk(map: DevPagemap, chunk: number): boolean {
    const pages = this.#chunkPages(map, chunk);
    if (!this.#takeBytes(chunk, pages)) return false;
    this.#blank(map, chunk, pages);
    return true;
  }

  #giveChunk(map: DevPagemap, chunk: number): void {
    this.#giveBytes(chunk, this.#chunkPages(map, chunk));
  }

  /** __init_zone_device_page of fresh rows. */
  #blank(map: DevPagemap, page: number, pages: number): void {
    const record = this.#recordOf(page);
    record.blank(page, pages, map.zone);
    // Before January 2026 an idle page knew its map, and was not told again.
    if (this.choice.initReset === "off")
      for (let i = page; i < page + pages; i++) record.setPgmap(record.rowRef(i), map.words);
  }
}
