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
import { explainDevice, type MeasuredPart } from "./device-arithmetic.js";
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
      const of = { words, name, record };
      const design = deviceDesign(of, "static");
      if (typeof design === "string") {
        refused.push({ name, record, why: design.replace(/^device-[^:]*: /, "") });
        continue;
      }
      const built = buildRow(of, asked);
      rows.push(built.row);
      arithmetic.push(...built.arithmetic);
    }
  return { rows, refused, arithmetic };
}

/** Which page words, under which name and record. */
type Choices = Pick<DeviceRow, "words" | "name" | "record">;

/** The design of these choices, activated as today where that can be; or why there is none. */
function deviceDesign(of: Choices, lifetime: DeviceLifetimeChoice): Design | string {
  let why = "";
  for (const activation of ACTIVATIONS) {
    const device = `device-name=${of.name}+device-record=${of.record}+device-lifetime=${lifetime}`;
    try {
      return parseDesign(`${of.words}+${device}+activation=${activation}`);
    } catch (error) {
      if (!(error instanceof DesignError)) throw error;
      why = error.message;
    }
  }
  return why;
}

function buildRow(
  of: Choices,
  asked: DeviceAsked,
): { readonly row: Omit<DeviceRow, "change">; readonly arithmetic: readonly Arithmetic[] } {
  const { pages, order } = asked;
  const built = Math.min(pages, BUILT_PAGES_MAX);
  const measurement = measureDevice(of, "static", { pages: built, order });
  const { summary, parts: measured } = measurement;
  const chunk = new Measurement(designOf(of, "chunk"), built);
  const parts = measured.map((part) => scaled(part, pages, built));
  const inService = parts.reduce((sum, part) => sum + part.bytes, 0);
  const row = {
    ...of,
    summary,
    idle: {
      static: parts.reduce((sum, part) => sum + part.idle, 0),
      chunk: chunk.idleFrames * PAGE_SIZE,
      request: measurement.bareFrames * PAGE_SIZE,
    },
    inService,
    perGiB: inService / ((pages * PAGE_SIZE) / GIB),
    parts,
    band: band(parts, inService, designOf(of, "static").freePointer),
  };
  return { row, arithmetic: explainDevice(row, measured, pages, built) };
}

function designOf(of: Choices, lifetime: DeviceLifetimeChoice): Design {
  const design = deviceDesign(of, lifetime);
  if (typeof design === "string") throw new DesignError(design);
  return design;
}

/** Builds a device whole: frames that its map takes, and what they and those of its pages are. */
export function measureDevice(
  of: Choices,
  lifetime: DeviceLifetimeChoice,
  { pages, order }: DeviceAsked,
): {
  readonly summary: string;
  /** Frames of an idle map that has no record yet. */
  readonly bareFrames: number;
  readonly parts: readonly MeasuredPart[];
} {
  // What such a map takes of the room for records is its name's.
  const bare = new Measurement(designOf(of, "request"), pages);
  const measurement = new Measurement(designOf(of, lifetime), pages);
  measurement.fill(order);
  return {
    summary: measurement.summary,
    bareFrames: bare.idleFrames,
    parts: measurement.parts(bare.idleArea),
  };
}

/** A machine with one device, and what was free before. */
class Measurement {
  readonly summary: string;
  /** Frames that the page map took when it was made. */
  readonly idleFrames: number;
  /** Those of them that are in the room for records. */
  readonly idleArea: number;
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
    this.idleArea = this.#area();
    this.#idle = kernel.machine.caches.usage();
  }

  #area(): number {
    return this.#kernel.machine.deviceArea?.frames ?? 0;
  }

  /** Takes every page into service, as folios of an order. */
  fill(order: number): void {
    for (let at = 0; at < this.#map.pages; at += 1 << order) {
      const page = this.#devices.activate(this.#map, at, order);
      if (page < 0) throw new MmError(-page, `take page ${at} of a device into service`, "refused");
    }
  }

  /** What the frames that are gone are; `naming` of them are the table of spaces. */
  parts(naming: number): MeasuredPart[] {
    const gone = this.#free - this.#kernel.settle();
    const parts = [...this.#tables(naming), ...this.#slabs()];
    const named = parts.reduce((sum, part) => sum + part.frames, 0);
    if (named !== gone)
      throw new Error(`${gone} frames are gone for a device, and ${named} of them are named`);
    return parts;
  }

  #tables(naming: number): MeasuredPart[] {
    const { record } = this.#devices;
    const { size, fidelity, source } = STRUCTS.DEVICE_SPACE;
    const table = {
      what: "space table",
      size,
      fixed: 1,
      grown: 0,
      idleFrames: naming,
      frames: naming,
      assumed: false,
      source: `${source} (${fidelity}); a frame at a time`,
    };
    return [
      {
        what: "records",
        size: record.bytesPerPage,
        fixed: 0,
        grown: this.#map.pages,
        idleFrames: this.idleArea - naming,
        frames: this.#area() - naming,
        assumed: record.name === "device-private",
        source: RECORD_SOURCES[record.name],
      },
      ...(naming > 0 ? [table] : []),
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

/** Frames of that many objects: rows lie one behind another, objects in slabs of one page. */
function framesOf(what: string, objects: number, size: number): number {
  return what === "records"
    ? Math.ceil((objects * size) / PAGE_SIZE)
    : Math.ceil(objects / Math.floor(PAGE_SIZE / size));
}

function scaled(part: MeasuredPart, pages: number, built: number): DevicePart {
  const { what, size, assumed, source } = part;
  const objects = part.fixed + Math.ceil((part.grown * pages) / built);
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
