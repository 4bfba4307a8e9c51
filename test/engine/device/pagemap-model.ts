/**
 * A naive model of page maps, and a walk that does the same to it and to the engine.
 *
 * The model is a list of maps, each with the folios in service by offset; what a map
 * counts, what a request answers and how many frames describe it all are worked out from
 * that list alone, by the rules as they are written down.
 */
import assert from "node:assert/strict";
import { Devices } from "../../../src/engine/device/devices.js";
import {
  MEMORY_DEVICE_COHERENT,
  MEMORY_DEVICE_FS_DAX,
  MEMORY_DEVICE_GENERIC,
  MEMORY_DEVICE_PCI_P2PDMA,
  MEMORY_DEVICE_PRIVATE,
} from "../../../src/engine/device/kinds.js";
import type {
  DevPagemap,
  PagemapConfig,
  PhysicalRange,
} from "../../../src/engine/device/pagemap.js";
import { MISC_UNKNOWN, T_MISC } from "../../../src/engine/design/word/axis-types.js";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { Kernel, type KernelRequest } from "../../../src/engine/process/kernel.js";
import { watchDevices } from "../../../src/engine/sanitizer/device/sanitizer.js";
import { Draw } from "../../../src/engine/sanitizer/process/program.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import type { HeldFolio } from "../../../src/engine/sanitizer/process/shape.js";

const TYPES = [
  MEMORY_DEVICE_PRIVATE,
  MEMORY_DEVICE_COHERENT,
  MEMORY_DEVICE_FS_DAX,
  MEMORY_DEVICE_GENERIC,
  MEMORY_DEVICE_PCI_P2PDMA,
];
const ENXIO = -6;
const ENOMEM = -12;
const EBUSY = -16;
const EEXIST = -17;
const EINVAL = -22;
/** Pages of the blocks that physical ranges are made of, and how many of them there are. */
const BLOCK = 512;
const BLOCKS = 16;
const MAPS_MOST = 6;

interface ModelMap {
  readonly map: DevPagemap;
  readonly type: number;
  readonly pages: number;
  readonly ranges: readonly PhysicalRange[];
  /** Order of all folios of device-dax memory under `init`. */
  readonly usual: number;
  dying: boolean;
  /** References by get_dev_pagemap. */
  looked: number;
  /** Folios in service by first offset. */
  readonly active: Map<number, { order: number; refs: number }>;
  /** Chunks that were ever touched, by their first page. */
  readonly chunks: Set<number>;
}

export class PagemapWalk {
  readonly kernel: Kernel;
  readonly devices: Devices;
  readonly maps: ModelMap[] = [];
  /** What is being done, for a failed run. */
  doing = "";
  /** Refusals for want of memory. */
  lacking = 0;
  readonly #before: number;
  /** Pages that somebody has, so that few are free. */
  readonly #taken: number[] = [];
  readonly #freed: string[] = [];
  #made = 0;

  /** `leave`: pages that can be had at the start, all where left out. */
  constructor(design: string, leave = Infinity) {
    const request: KernelRequest = {
      memory: "16MiB",
      device: { private: "256MiB", span: "128MiB" },
    };
    this.kernel = Kernel.boot(request, parseDesign(design));
    const { machine } = this.kernel;
    if (leave < Infinity) {
      for (let pfn = machine.allocPages(0); pfn >= 0; pfn = machine.allocPages(0))
        this.#taken.push(pfn);
      for (const pfn of this.#taken.splice(0, leave)) machine.freePages(pfn, 0);
    }
    this.devices = Devices.attach(this.kernel);
    watchDevices(this.devices);
    this.#before = this.kernel.settle();
  }

  get #init(): boolean {
    return this.devices.choice.activation === "init";
  }

  #fromOne(m: ModelMap): boolean {
    return this.#init && m.type === MEMORY_DEVICE_GENERIC;
  }

  step(n: number): void {
    const draw = new Draw(n);
    const what = draw.below(12);
    if (this.maps.length === 0 || (what === 0 && this.maps.length < MAPS_MOST)) this.#create(draw);
    else if (what <= 5) this.#activate(draw);
    else if (what <= 6) this.#get(draw);
    else if (what <= 9) this.#put(draw);
    else if (what === 10) this.#look(draw);
    else if (draw.once(3)) this.#unmap(draw.of(this.maps));
    else if (draw.once(2)) this.#kill(draw.of(this.maps));
  }

  #config(draw: Draw): PagemapConfig {
    const name = `map ${this.#made++}`;
    const type = draw.of(TYPES);
    const owner = {};
    const ops = {
      migrateToRam: () => 0,
      folioFree: (page: number, order: number) => void this.#freed.push(`${name} ${page} ${order}`),
    };
    if (type === MEMORY_DEVICE_PRIVATE)
      return { name, type, owner, ops, size: draw.below(5 * BLOCK) * 4096 + draw.below(4096) };
    const base = this.kernel.machine.deviceFirst;
    const ranges = Array.from({ length: 1 + draw.below(3) }, () => ({
      start: base + draw.below(BLOCKS) * BLOCK,
      pages: (1 + draw.below(3)) * BLOCK,
    }));
    return { name, type, owner, ops, ranges, folioOrder: draw.of([0, 0, 4, 9]) };
  }

  /** What a configuration is answered with, memory aside; 0 for a map. */
  #expects({ type, ranges = [], size = 0 }: PagemapConfig): number {
    if (type === MEMORY_DEVICE_PRIVATE) return size === 0 ? EINVAL : 0;
    const live = (p: number): boolean =>
      this.maps.some((m) => !m.dying && m.type !== MEMORY_DEVICE_PRIVATE && has(m.ranges, p));
    const own: PhysicalRange[] = [];
    for (const r of ranges) {
      const end = r.start + r.pages - 1;
      if (live(r.start) || live(end)) return ENOMEM;
      if (this.maps.some((m) => m.ranges.some((o) => meet(o, r)))) return EEXIST;
      if (has(own, r.start) || has(own, end)) return ENOMEM;
      if (own.some((o) => meet(o, r))) return EEXIST;
      own.push(r);
    }
    return 0;
  }

  #create(draw: Draw): void {
    const config = this.#config(draw);
    this.doing = `create ${JSON.stringify(config)}`;
    const must = this.#expects(config);
    const map = this.devices.pagemaps.create(config);
    if (typeof map === "number") {
      // No memory for what describes it.
      if (must === 0 && map === ENOMEM) this.lacking++;
      else assert.equal(map, must);
      return;
    }
    assert.equal(must, 0);
    const pages = config.size === undefined ? map.pages : Math.ceil(config.size / 4096);
    const ranges = config.ranges ?? [{ start: map.first, pages }];
    assert.equal(
      map.pages,
      ranges.reduce((sum, r) => sum + r.pages, 0),
    );
    const model: ModelMap = {
      map,
      type: config.type,
      pages,
      ranges,
      usual: config.folioOrder ?? 0,
      dying: false,
      looked: 0,
      active: new Map(),
      chunks: new Set(),
    };
    this.maps.push(model);
    if (this.#fromOne(model))
      for (const { start, pages: n } of ranges) this.#touch(model, start, n);
  }

  /** Chunks that a stretch of pages lies in are touched. */
  #touch(m: ModelMap, page: number, pages: number): void {
    const { start } =
      m.ranges.find((r) => page >= r.start && page < r.start + r.pages) ?? m.ranges[0];
    for (let at = page; at < page + pages; at++) m.chunks.add(at - ((at - start) % BLOCK));
  }

  /** The page at an offset, range by range. */
  #pageAt(m: ModelMap, offset: number): number {
    const pages = m.ranges.flatMap((r) => Array.from({ length: r.pages }, (_, i) => r.start + i));
    return pages[offset] ?? -1;
  }

  /** Whether a folio could lie there: in one range, aligned. */
  #fits(m: ModelMap, offset: number, order: number): boolean {
    if (order > (m.type === MEMORY_DEVICE_PRIVATE ? 9 : 18)) return false;
    const page = this.#pageAt(m, offset);
    const last = page + 2 ** order - 1;
    return (
      page >= 0 && page % 2 ** order === 0 && m.ranges.some((r) => has([r], page) && has([r], last))
    );
  }

  #inWay(m: ModelMap, offset: number, order: number): [number, number] | null {
    for (const [at, folio] of m.active)
      if (at < offset + 2 ** order && offset < at + 2 ** folio.order) return [at, folio.order];
    return null;
  }

  #answers(m: ModelMap, offset: number, order: number): number {
    const { requestIdle } = this.devices.choice;
    if (!this.#fits(m, offset, order)) return EINVAL;
    if (this.#fromOne(m)) return order === m.usual ? 0 : EINVAL;
    if (this.#init) return 0;
    if (m.dying) return ENXIO;
    const inWay = this.#inWay(m, offset, order);
    if (inWay === null) return 0;
    if (requestIdle === "strict") return EBUSY;
    return inWay[0] === offset && inWay[1] === order ? 0 : EINVAL;
  }

  #activate(draw: Draw): void {
    const m = draw.of(this.maps);
    const order = draw.of([0, 0, 0, 1, 4, 9, 10]);
    const raw = draw.below(m.pages + 3) - 1;
    const offset = draw.once(4) ? raw : raw - (raw % 2 ** order);
    this.doing = `activate ${m.map.name}, offset ${offset}, order ${order}`;
    // Drivers of `init` do not initialise what is in service, nor of a map that dies.
    const taken = this.#inWay(m, offset, order) !== null || m.dying;
    if (this.#init && taken && !this.#fromOne(m)) return;
    const must = this.#answers(m, offset, order);
    const page = this.devices.activate(m.map, offset, order);
    if (must === 0 && page === ENOMEM) return void this.lacking++;
    if (must < 0) return void assert.equal(page, must);
    assert.equal(page, this.#pageAt(m, offset));
    const side = this.devices.sideOf(page);
    assert.ok(side.folios.isLocked(side.folioOf(page)), "it is locked");
    side.folios.unlock(side.folioOf(page));
    const again = m.active.get(offset);
    if (again === undefined) m.active.set(offset, { order, refs: 1 });
    else again.refs++;
    this.#touch(m, page, 2 ** order);
  }

  /** A folio in service of some map; null for none. */
  #any(draw: Draw): [ModelMap, number] | null {
    const all = this.maps.flatMap((m) => [...m.active.keys()].map((at) => [m, at] as const));
    const found = all.length === 0 ? undefined : draw.of(all);
    return found === undefined ? null : [found[0], found[1]];
  }

  #get(draw: Draw): void {
    const found = this.#any(draw);
    if (found === null) return;
    const [m, offset] = found;
    this.doing = `get ${m.map.name}, offset ${offset}`;
    const page = this.#pageAt(m, offset);
    const side = this.devices.sideOf(page);
    side.folios.get(side.folioOf(page));
    const folio = m.active.get(offset);
    if (folio !== undefined) folio.refs++;
  }

  #put(draw: Draw): void {
    const found = this.#any(draw);
    if (found !== null) this.#drop(...found);
  }

  #drop(m: ModelMap, offset: number): void {
    this.doing = `put ${m.map.name}, offset ${offset}`;
    const folio = m.active.get(offset);
    if (folio === undefined) return;
    const page = this.#pageAt(m, offset);
    const side = this.devices.sideOf(page);
    this.#freed.length = 0;
    side.folios.put(side.folioOf(page));
    if (--folio.refs > 0) return void assert.deepEqual(this.#freed, []);
    m.active.delete(offset);
    const told = this.#init
      ? m.type !== MEMORY_DEVICE_FS_DAX && m.type !== MEMORY_DEVICE_GENERIC
      : true;
    assert.deepEqual(this.#freed, told ? [`${m.map.name} ${page} ${folio.order}`] : []);
  }

  #look(draw: Draw): void {
    const m = draw.of(this.maps);
    if (m.looked > 0 && draw.once(2)) {
      this.doing = `put_dev_pagemap ${m.map.name}`;
      m.map.put(1);
      m.looked--;
      return;
    }
    this.doing = `get_dev_pagemap ${m.map.name}`;
    const pfn = this.#pageAt(m, draw.below(m.pages));
    const found = this.devices.pagemaps.get(pfn);
    // A place in the records is no pfn.
    const live = !m.dying && m.type !== MEMORY_DEVICE_PRIVATE;
    assert.equal(found, live ? m.map : null);
    if (live) m.looked++;
  }

  #kill(m: ModelMap): void {
    this.doing = `kill ${m.map.name}`;
    this.devices.pagemaps.kill(m.map);
    m.dying = true;
    assert.equal(m.map.state, "dying");
  }

  #unmap(m: ModelMap): void {
    this.doing = `unmap ${m.map.name}`;
    const held = m.looked > 0 || (m.active.size > 0 && !this.#fromOne(m));
    m.dying = true;
    if (held) {
      assert.throws(() => this.devices.pagemaps.unmap(m.map), /waiting for word/);
      assert.equal(m.map.state, "dying");
      return;
    }
    // Nobody waits for who still holds device-dax memory: its driver must.
    for (const [offset, folio] of m.active)
      for (let i = folio.refs; i > 0; i--) this.#drop(m, offset);
    assert.equal(this.devices.pagemaps.unmap(m.map), 0);
    assert.equal(m.map.state, "dead");
    assert.equal(this.devices.pagemaps.unmap(m.map), EINVAL);
    this.maps.splice(this.maps.indexOf(m), 1);
  }

  /** Engine against model, and every rule of the sanitizer. */
  check(): void {
    for (const m of this.maps) this.#compare(m);
    assert.equal(this.kernel.machine.deviceArea?.frames, this.#frames());
    const found = inspectKernel(this.kernel, {
      folios: this.#held(),
      blocks: this.#taken.map((pfn) => ({
        pfn,
        order: 0,
        type: T_MISC,
        subtype: MISC_UNKNOWN,
        refs: 0,
      })),
      pagemaps: this.maps.map((m) => ({
        words: m.map.words,
        refs: m.looked,
        who: "get_dev_pagemap",
      })),
    });
    assert.deepEqual(
      found.slice(0, 3).map((v) => v.message),
      [],
    );
    assert.deepEqual(this.devices.zoneDevice.warnings, []);
  }

  #held(): HeldFolio[] {
    return this.maps.flatMap((m) =>
      [...m.active].map(([offset, { refs }]) => {
        const pfn = this.#pageAt(m, offset);
        return { pfn, refs, pins: 0, who: m.map.name };
      }),
    );
  }

  #compare(m: ModelMap): void {
    const { requestRefs } = this.devices.choice;
    const perFolio = !this.#init && requestRefs === "folio";
    const anon = m.type === MEMORY_DEVICE_PRIVATE || m.type === MEMORY_DEVICE_COHERENT;
    const ahead = this.#init && !anon ? m.pages / 2 ** m.usual : 0;
    let refs = m.dying ? 0 : 1 + ahead;
    let pages = this.#fromOne(m) ? m.pages : 0;
    for (const { order } of m.active.values()) {
      if (this.#fromOne(m)) continue;
      refs += perFolio ? 1 : 2 ** order;
      pages += 2 ** order;
    }
    assert.equal(m.map.refs, refs + m.looked, `references of ${m.map.name}`);
    assert.equal(m.map.inService, pages, `pages of ${m.map.name} in service`);
    for (const offset of [0, 1, m.pages >> 1, m.pages - 1]) {
      const page = this.#pageAt(m, offset);
      assert.equal(m.map.pageAt(offset), page);
      assert.equal(m.map.offsetOf(page), offset);
      const at = this.#inWay(m, offset, 0);
      const count =
        (at === null ? 0 : (m.active.get(at[0])?.refs ?? 0)) + (this.#fromOne(m) ? 1 : 0);
      assert.equal(this.devices.zoneDevice.refcountOf(page), count, `page ${page}`);
      // Where pages are requested an idle one is not even to be asked.
      if (count > 0 || this.#init)
        assert.equal(this.devices.pagemaps.ofPage(page), count > 0 ? m.map : null);
    }
  }

  /** Frames that describe what the lifetime says. */
  #frames(): number {
    const { deviceLifetime } = this.devices.choice;
    const pages = new Set<string>();
    const rows = (page: number, n: number): void => {
      const { record } = this.devices.zoneDevice.of(page);
      const first = record.rowRef(page) * 16 + record.rowOff(page);
      const last = first + n * record.bytesPerPage - 1;
      for (let at = Math.floor(first / 4096); at <= Math.floor(last / 4096); at++)
        pages.add(`r${at}`);
    };
    for (const m of this.maps) {
      if (deviceLifetime === "static") for (const r of m.ranges) rows(r.start, r.pages);
      else if (deviceLifetime === "chunk")
        for (const chunk of m.chunks) {
          const r = m.ranges.find((o) => has([o], chunk)) ?? m.ranges[0];
          rows(chunk, Math.min(BLOCK, r.start + r.pages - chunk));
        }
      else for (const [offset, { order }] of m.active) rows(this.#pageAt(m, offset), 2 ** order);
    }
    return pages.size + this.#spaceFrames();
  }

  /** Pages of the table of spaces: 256 rows each, up to the highest space in use. */
  #spaceFrames(): number {
    const { naming } = this.devices;
    if (naming.name !== "tuple") return 0;
    const spaces = this.maps
      .filter((m) => m.type === MEMORY_DEVICE_PRIVATE)
      .map((m) => naming.spaceOf(m.map.words));
    return Math.ceil((Math.max(-1, ...spaces) + 1) / 256);
  }

  /** Everything goes: nothing may be left. */
  finish(): void {
    for (const m of this.maps.slice()) {
      for (const [offset, { refs }] of m.active)
        for (let i = 0; i < refs; i++) this.#drop(m, offset);
      if (m.looked > 0) m.map.put(m.looked);
      m.looked = 0;
      this.#unmap(m);
    }
    this.check();
    assert.equal(this.kernel.settle(), this.#before, "all memory is back");
  }
}

const has = (ranges: readonly PhysicalRange[], page: number): boolean =>
  ranges.some((r) => page >= r.start && page < r.start + r.pages);
const meet = (a: PhysicalRange, b: PhysicalRange): boolean =>
  a.start < b.start + b.pages && b.start < a.start + a.pages;
