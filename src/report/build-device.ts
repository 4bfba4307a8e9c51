/**
 * What a device's private memory takes of its host's memory, for one kind of page
 * words: under every name and record that there can be, idle in each lifetime of
 * its records, and with every page in service.
 *
 * Every byte here was given by the page allocator of a small machine: what is free
 * before the page map is made and what is free afterwards is compared, and each
 * frame that is gone is one of the records, of the table of spaces or of a slab.
 * Nothing else of the machine runs meanwhile.
 *
 * A device beyond a GiB is its first GiB, built, and everything that grows with
 * pages multiplied by its objects; what there is once is not. Whole slabs and
 * frames are counted after that. It is one page map: a driver that makes many of
 * them pays for each. Not counted, because the engine has no frames for them: the
 * page tables over the records, and rows of the section table (`physical`).
 */
import {
  ACTIVATIONS,
  DEVICE_AXES,
  DEVICE_NAMES,
  DEVICE_RECORDS,
  type DeviceLifetimeChoice,
  type DeviceNameChoice,
  type DeviceRecordChoice,
} from "../engine/design/device-rules.js";
import { objectSize, type FreePointer } from "../engine/design/free-pointer.js";
import {
  DEFAULT_DESIGNS,
  DesignError,
  parseDesign,
  type Design,
} from "../engine/design/presets.js";
import { Devices } from "../engine/device/devices.js";
import { MEMORY_DEVICE_PRIVATE } from "../engine/device/kinds.js";
import { MmError } from "../engine/errors.js";
import { STRUCTS } from "../engine/layout/generated/tables.js";
import type { CacheUsage } from "../engine/pages/caches.js";
import { Kernel } from "../engine/process/kernel.js";
import { PAGE_SIZE } from "../units.js";
import { explainDevice } from "./device-arithmetic.js";
import type { Arithmetic, DevicePart, DeviceReport, DeviceRow } from "./model.js";
import type { DeviceAsked } from "./ports.js";

/** What one kind of page words contributes; `change` waits for today's. */
export interface DeviceResult {
  readonly rows: readonly Omit<DeviceRow, "change">[];
  readonly refused: DeviceReport["refused"];
  readonly arithmetic: readonly Arithmetic[];
}

/** Pages that are built at most: a GiB. What a larger device needs more of is multiplied. */
export const BUILT_PAGES_MAX = 2 ** 18;
/** Sizes that a struct nobody has published may turn out to have. */
const BAND = [64, 80, 96, 128] as const;
const GIB = 2 ** 30;
/** RAM of the machine: room for the dearest descriptors of every page, and for itself. */
const RAM_MIN = 16 * 2 ** 20;
const RAM_PER_DEVICE = 1.25;

/** One thing that frames were taken for, as measured. */
export interface MeasuredPart {
  readonly what: string;
  readonly size: number;
  /** Objects that the map itself needs, and those that come with its pages. */
  readonly fixed: number;
  readonly grown: number;
  /** Frames while the device is idle, and with every page in service. */
  readonly idleFrames: number;
  readonly frames: number;
  readonly assumed: boolean;
  readonly source: string;
}

/** A design without its choices for devices: the page words that a host has. */
export function pageWordsOf(name: string): string {
  const { word } = parseDesign(name);
  // Presets of the device proposals have the words of one of the usual designs.
  const usual = DEFAULT_DESIGNS.find((design) => parseDesign(design).word === word) ?? name;
  const axes = new Set(DEVICE_AXES.map(({ axis }) => axis));
  const parts = name.split("+").slice(1);
  const kept = parts.filter((part) => !axes.has(part.split("=")[0]));
  return parseDesign([usual, ...kept].join("+")).name;
}

/**
 * Rows of all names and records on these page words, or those of some names. Throws
 * DesignError, MmError (ENOMEM) where the machine cannot hold what the device needs.
 */
export function buildDevice(
  words: string,
  asked: DeviceAsked,
  names: readonly DeviceNameChoice[] = DEVICE_NAMES,
): DeviceResult {
  const rows: Omit<DeviceRow, "change">[] = [];
  const refused: DeviceReport["refused"][number][] = [];
  const arithmetic: Arithmetic[] = [];
  for (const record of DEVICE_RECORDS)
    for (const name of names) {
      const design = deviceDesign(words, name, record, "static");
      if (typeof design === "string") {
        refused.push({ name, record, why: design.replace(/^device-[^:]*: /, "") });
        continue;
      }
      const built = buildRow({ words, name, record }, asked, design);
      rows.push(built.row);
      arithmetic.push(...built.arithmetic);
    }
  return { rows, refused, arithmetic };
}

/** The design of these choices, activated as today where that can be; or why there is none. */
export function deviceDesign(
  words: string,
  name: DeviceNameChoice,
  record: DeviceRecordChoice,
  lifetime: DeviceLifetimeChoice,
): Design | string {
  let why = "";
  for (const activation of ACTIVATIONS) {
    const choices = `device-name=${name}+device-record=${record}+device-lifetime=${lifetime}`;
    try {
      return parseDesign(`${words}+${choices}+activation=${activation}`);
    } catch (error) {
      if (!(error instanceof DesignError)) throw error;
      why = error.message;
    }
  }
  return why;
}

function buildRow(
  of: Pick<DeviceRow, "words" | "name" | "record">,
  asked: DeviceAsked,
  design: Design,
): { readonly row: Omit<DeviceRow, "change">; readonly arithmetic: readonly Arithmetic[] } {
  const built = { pages: Math.min(asked.pages, BUILT_PAGES_MAX), order: asked.order };
  const idle = (lifetime: DeviceLifetimeChoice): number => {
    const other = deviceDesign(of.words, of.name, of.record, lifetime);
    if (typeof other === "string") throw new DesignError(other);
    return new Measurement(other, built.pages).idleFrames * PAGE_SIZE;
  };
  const measurement = new Measurement(design, built.pages);
  measurement.fill(asked.order);
  const measured = measurement.parts();
  const parts = measured.map((part) => scaled(part, asked.pages, built.pages));
  const inService = parts.reduce((sum, part) => sum + part.bytes, 0);
  const row = {
    ...of,
    summary: measurement.summary,
    idle: {
      static: parts.reduce((sum, part) => sum + part.idle, 0),
      chunk: idle("chunk"),
      request: idle("request"),
    },
    inService,
    perGiB: inService / ((asked.pages * PAGE_SIZE) / GIB),
    parts,
    band: band(parts, inService, design.freePointer),
  };
  return { row, arithmetic: explainDevice(row, measured, asked.pages, built.pages) };
}

/** A machine with one device, and what was free before. */
class Measurement {
  readonly summary: string;
  /** Frames that the page map took when it was made. */
  readonly idleFrames: number;
  readonly #kernel: Kernel;
  readonly #devices: Devices;
  readonly #map: ReturnType<Devices["mapPages"]>;
  readonly #free: number;
  readonly #before: readonly CacheUsage[];
  readonly #idle: readonly CacheUsage[];

  constructor(design: Design, pages: number) {
    const size = pages * PAGE_SIZE;
    const memory = Math.max(RAM_MIN, Math.ceil(size * RAM_PER_DEVICE));
    const kernel = Kernel.boot({ memory, device: { private: size, span: 0 } }, design);
    this.#kernel = kernel;
    this.#devices = Devices.attach(kernel);
    this.summary = this.#devices.record.summary;
    this.#free = kernel.settle();
    this.#before = kernel.machine.caches.usage();
    this.#map = this.#devices.mapPages({
      name: "device",
      type: MEMORY_DEVICE_PRIVATE,
      pages,
      owner: this,
      ops: { folioFree: () => undefined, migrateToRam: () => 0 },
    });
    this.idleFrames = this.#free - kernel.settle();
    this.#idle = kernel.machine.caches.usage();
  }

  /** Takes every page into service, as folios of an order. */
  fill(order: number): void {
    for (let at = 0; at < this.#map.pages; at += 1 << order) {
      const page = this.#devices.activate(this.#map, at, order);
      if (page < 0) throw new MmError(-page, `take page ${at} of a device into service`, "refused");
    }
  }

  /** What the frames that are gone are. */
  parts(): MeasuredPart[] {
    const gone = this.#free - this.#kernel.settle();
    const parts = [...this.#tables(), ...this.#slabs()];
    const named = parts.reduce((sum, part) => sum + part.frames, 0);
    if (named !== gone)
      throw new Error(`${gone} frames are gone for a device, and ${named} of them are named`);
    return parts;
  }

  #tables(): MeasuredPart[] {
    const { record } = this.#devices;
    const frames = this.#kernel.machine.deviceArea?.frames ?? 0;
    const rows = Math.ceil((this.#map.pages * record.bytesPerPage) / PAGE_SIZE);
    const { fidelity, source } = STRUCTS.DEVICE_SPACE;
    const table = {
      what: "space table",
      size: STRUCTS.DEVICE_SPACE.size,
      fixed: 1,
      grown: 0,
      idleFrames: frames - rows,
      frames: frames - rows,
      assumed: false,
      source: `${source} (${fidelity}); a frame at a time`,
    };
    return [
      {
        what: "records",
        size: record.bytesPerPage,
        fixed: 0,
        grown: this.#map.pages,
        idleFrames: rows,
        frames: rows,
        assumed: record.name === "device-private",
        source: RECORD_SOURCES[record.name],
      },
      ...(frames > rows ? [table] : []),
    ];
  }

  #slabs(): MeasuredPart[] {
    return this.#kernel.machine.caches.usage().flatMap((now, i): MeasuredPart[] => {
      const before = this.#before[i];
      const idle = this.#idle[i];
      const part = {
        what: now.name,
        size: now.objectSize,
        fixed: idle.objects - before.objects,
        grown: now.objects - idle.objects,
        idleFrames: idle.slabs - before.slabs,
        frames: now.slabs - before.slabs,
        assumed: now.fidelity === "assumed",
        source: now.source,
      };
      return part.frames === 0 ? [] : [part];
    });
  }
}

const RECORD_SOURCES: Readonly<Record<DeviceRecordChoice, string>> = {
  page: "the design's page words, one for each page of the device",
  folio: "a pointer for each page, to the folio it is in (Hildenbrand, August 2025)",
  "device-private": STRUCTS.DEVICE_PRIVATE.source,
};

/** Objects of a part for all pages of the device, of which some were built. */
export function objectsOf(part: MeasuredPart, pages: number, built: number): number {
  return part.fixed + Math.ceil((part.grown * pages) / built);
}

/** Frames of that many objects: rows lie one behind another, objects in slabs of one page. */
function framesOf(what: string, objects: number, size: number): number {
  return what === "records"
    ? Math.ceil((objects * size) / PAGE_SIZE)
    : Math.ceil(objects / Math.floor(PAGE_SIZE / size));
}

function scaled(part: MeasuredPart, pages: number, built: number): DevicePart {
  const { what, size, assumed, source } = part;
  const objects = objectsOf(part, pages, built);
  const frames = pages === built || part.grown === 0 ? part.frames : framesOf(what, objects, size);
  // Records are there while the device is idle; of objects only those of the map are.
  const idle = what === "records" ? frames : part.idleFrames;
  return {
    what,
    objects,
    size,
    idle: idle * PAGE_SIZE,
    bytes: frames * PAGE_SIZE,
    assumed,
    source,
  };
}

/** The total if every size that nobody has published were 64, 80, 96 or 128 bytes. */
function band(
  parts: readonly DevicePart[],
  total: number,
  freePointer: FreePointer,
): DeviceRow["band"] {
  const assumed = parts.filter((part) => part.assumed);
  if (assumed.length === 0) return null;
  return BAND.map((size) => {
    let sum = total;
    for (const { what, objects, bytes } of assumed) {
      // A large folio has what a small one has and 48 bytes more.
      const whole = size + (what.startsWith("large") ? 48 : 0);
      const one = what === "records" ? size : objectSize(whole, freePointer);
      sum += framesOf(what, objects, one) * PAGE_SIZE - bytes;
    }
    return { size, total: sum };
  });
}
