/**
 * Designs as values: the presets, the axes, and how a design is written.
 *
 * A design is `preset[+axis=choice…]`; its canonical string has the axes that
 * differ from the preset in alphabetical order and is what JSON carries. A
 * combination that cannot exist is refused with its reason. A new proposal is
 * one file under word/ and one row here.
 */
import {
  DEVICE_AXES,
  DEVICE_TODAY,
  deviceProblem,
  type DeviceChoice,
  type DeviceRecordChoice,
} from "./device-rules.js";
import { DEVICE_PRIVATE_SIZE } from "../layout/generated/offsets.js";
import type { FreePointer } from "./free-pointer.js";
import {
  completeScattered,
  SCATTERED_AXES,
  scatteredProblem,
  type ScatteredChoice,
  type ScatteredWish,
} from "./scattered-rules.js";
import type { ScatteredName } from "./scattered/axis.js";
import type { DesignContext, PageDesign, WordOptions } from "./word/axis.js";
import {
  TYPE_NAMES,
  TYPES_2024,
  TYPES_2024B,
  TYPES_2025,
  TYPES_PAGE32,
  type TypeName,
  type TypeTable,
} from "./word/axis-types.js";
import { Memdesc16 } from "./word/memdesc16.js";
import { Memdesc8 } from "./word/memdesc8.js";
import { Page32 } from "./word/page32.js";
import { Page64 } from "./word/page64.js";
import { Slot64 } from "./word/slot64.js";

export type WordName = "page64" | "page32" | "memdesc16" | "memdesc8" | "slot64";

/** Every choice that makes a page design. */
export interface Design extends ScatteredChoice, DeviceChoice {
  /** Canonical: `today`, `memdesc8+free-pointer=outside`, … */
  readonly name: string;
  readonly word: WordName;
  readonly separated: ReadonlySet<TypeName>;
  readonly types: TypeTable;
  readonly pageBits: WordOptions["pageBits"];
  readonly mapcount: WordOptions["mapcounts"];
  readonly freePointer: FreePointer;
}

/** A design that cannot be, or a text that is none. */
export class DesignError extends Error {
  override readonly name = "DesignError";
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const NONE: ReadonlySet<TypeName> = new Set();
/** Types that an overlay or nothing stands for until they are separated, in the published order of conversion. */
export const CONVERSION_ORDER: readonly TypeName[] = [
  "page-table",
  "zpdesc",
  "slab",
  "bump",
  "movable",
  "percpu",
  "acctmem",
  "managed",
  "hwpoison",
  "ksm",
  "anon",
  "file",
];
const ALL: ReadonlySet<TypeName> = new Set(CONVERSION_ORDER);
/** Types that a small word has no overlay for: without a descriptor they could not exist. */
const NEEDED: readonly TypeName[] = ["page-table", "zpdesc", "slab", "bump", "ksm", "anon", "file"];
/** … and of those, the ones that every revision of the type table has. */
const CORE: ReadonlySet<TypeName> = new Set(["page-table", "slab", "anon", "file"]);
/** The 32-byte stage's table of types has no code left for managed memory. */
const PAGE32_TYPES: ReadonlySet<TypeName> = new Set(
  CONVERSION_ORDER.filter((t) => t !== "managed"),
);

/** A design before its name is known. */
type Unnamed = Omit<Design, "name">;
/** A preset: how scattered memory is found there follows from its object and its word. */
type Preset = Omit<Unnamed, keyof ScatteredChoice> & { readonly scattered: ScatteredName };

/** Today's page words: what the device stages leave as they are. */
const TODAY: Preset = {
  word: "page64",
  separated: NONE,
  types: TYPES_2025,
  pageBits: "word",
  mapcount: "per-page",
  freePointer: "inside",
  scattered: "per-page",
  ...DEVICE_TODAY,
};

/*
 * Scattered memory in the presets: today and the 32-byte stage count every page,
 * as 6.18 does and as the fields that stay allow. The small words have a scamem,
 * found from the page's word, so that GUP-fast works and a release needs the page
 * alone. In 16 bytes the pointer is the private word and the memdesc keeps node
 * and zone; in 8 bytes the pointer takes the word, and node and zone come from the
 * table of pageblocks that this word needs for its free pages anyway.
 */
const PRESETS: Readonly<Record<string, Preset>> = {
  today: TODAY,
  page32: {
    word: "page32",
    separated: PAGE32_TYPES,
    types: TYPES_PAGE32,
    pageBits: "word",
    mapcount: "per-page",
    freePointer: "inside",
    scattered: "per-page",
    ...DEVICE_TODAY,
  },
  memdesc16: {
    word: "memdesc16",
    separated: ALL,
    types: TYPES_2025,
    pageBits: "word",
    mapcount: "per-folio",
    freePointer: "inside",
    scattered: "scamem",
    ...DEVICE_TODAY,
  },
  memdesc8: {
    word: "memdesc8",
    separated: ALL,
    types: TYPES_2025,
    pageBits: "type",
    mapcount: "per-folio",
    freePointer: "inside",
    scattered: "scamem",
    ...DEVICE_TODAY,
  },
  slot64: {
    word: "slot64",
    separated: NONE,
    types: TYPES_2025,
    pageBits: "word",
    mapcount: "per-page",
    freePointer: "inside",
    scattered: "per-page",
    ...DEVICE_TODAY,
  },
  // The series of February 2026 (v6): an address space of its own, struct pages kept.
  "device-offset": { ...TODAY, deviceName: "offset" },
  // The idea of August 2025: a space per page map, and a record that counts and little else.
  "device-tuple": {
    ...TODAY,
    deviceName: "tuple",
    deviceRecord: "device-private",
    activation: "request",
  },
};
/** Other names of presets. */
const ALIASES: Readonly<Record<string, string>> = { page64: "today" };

export { DEFAULT_DESIGNS } from "./default-designs.js";

const TABLES: Readonly<Record<string, TypeTable>> = {
  "2024": TYPES_2024,
  "2024b": TYPES_2024B,
  "2025": TYPES_2025,
  page32: TYPES_PAGE32,
};

const one = <T extends string>(axis: string, choice: string, choices: readonly T[]): T => {
  const found = choices.find((c) => c === choice);
  if (found === undefined)
    throw new DesignError(`${axis}=${choice}: ${axis} is one of ${choices.join(", ")}`);
  return found;
};

/** `page-table/slab`: names of page types; `folio` is file, anon and ksm; `none` is none. */
function parseTypes(text: string): ReadonlySet<TypeName> {
  const types = new Set<TypeName>();
  if (text === "none") return types;
  for (const name of text.split("/")) {
    if (name === "folio") for (const t of ["file", "anon", "ksm"] as const) types.add(t);
    else if (name === "all") for (const t of CONVERSION_ORDER) types.add(t);
    else types.add(one("separated", name, CONVERSION_ORDER));
  }
  return types;
}

/**
 * Reads one design. Throws DesignError, with the reason, for an unknown preset,
 * axis or choice and for a combination that cannot exist.
 */
export function parseDesign(text: string): Design {
  const [head = "", ...parts] = text.trim().split("+");
  const preset = ALIASES[head] ?? head;
  const base = PRESETS[preset];
  if (base === undefined) {
    throw new DesignError(
      `no design is called "${head}": there are ${Object.keys(PRESETS).join(", ")} and page64 for today`,
    );
  }
  const design: Mutable<Preset> = { ...base };
  const wish: Mutable<ScatteredWish> = {};
  for (const part of parts) {
    try {
      if (!wishScattered(wish, part) && !chooseDevice(design, part)) choose(design, part, text);
    } catch (error) {
      // Say which of several designs it is about.
      if (!(error instanceof DesignError) || error.message.includes(text)) throw error;
      throw new DesignError(`${text}: ${error.message}`);
    }
  }
  const scattered = completeScattered(design.word, base.scattered, wish);
  const problem = scatteredProblem(design.word, scattered, wish.scatteredRelease);
  if (problem !== null) throw new DesignError(problem);
  const whole = { ...design, ...scattered };
  refuseIllegal(whole);
  return { ...whole, name: canonical(preset, base, whole) };
}

/** Applies one `axis=choice` of scattered memory; false for another axis. */
function wishScattered(wish: Mutable<ScatteredWish>, part: string): boolean {
  const [axis = "", choice = ""] = part.split("=");
  const found = SCATTERED_AXES.find((a) => a.axis === axis);
  if (found === undefined) return false;
  Object.assign(wish, { [found.field]: one(axis, choice, found.choices) });
  return true;
}

/** Applies one `axis=choice` of device memory; false for another axis. */
function chooseDevice(design: Mutable<Preset>, part: string): boolean {
  const [axis = "", choice = ""] = part.split("=");
  const found = DEVICE_AXES.find((a) => a.axis === axis);
  if (found === undefined) return false;
  Object.assign(design, { [found.field]: one(axis, choice, found.choices) });
  return true;
}

/** Reads a list of designs separated by commas; doubles are an error. */
export function parseDesigns(text: string): Design[] {
  const designs = text.split(",").map(parseDesign);
  for (const [i, d] of designs.entries()) {
    if (designs.findIndex((e) => e.name === d.name) < i)
      throw new DesignError(`${d.name} is named twice`);
  }
  return designs;
}

/** Applies one `axis=choice`. */
function choose(design: Mutable<Preset>, part: string, text: string): void {
  const [axis = "", choice = ""] = part.split("=");
  if (axis === "separated") design.separated = parseTypes(choice);
  else if (axis === "page-bits")
    design.pageBits = one(axis, choice, ["word", "type", "descriptor"]);
  else if (axis === "mapcount") design.mapcount = one(axis, choice, ["per-page", "per-folio"]);
  else if (axis === "free-pointer") design.freePointer = one(axis, choice, ["inside", "outside"]);
  else if (axis === "types") design.types = TABLES[one(axis, choice, Object.keys(TABLES))];
  else {
    throw new DesignError(
      `"${part}" in "${text}": the axes are separated, mapcount, page-bits, free-pointer, types, scattered, scattered-lookup, scattered-nid, scattered-release, ${DEVICE_AXES.map(({ axis: name }) => name).join(", ")}`,
    );
  }
}

function refuseIllegal(d: Unnamed): void {
  const overlay = d.word === "page64" && !d.separated.has("file");
  const device = deviceProblem(d, d.word, overlay);
  if (device !== null) throw new DesignError(device);
  const small = d.word === "page32" || d.word === "memdesc16" || d.word === "memdesc8";
  for (const type of NEEDED) {
    if (small && !d.separated.has(type)) {
      throw new DesignError(
        `${d.word} cannot leave ${type} without a descriptor: its word has no room for the overlay`,
      );
    }
  }
  if (d.word === "slot64" && d.separated.size > 0) {
    throw new DesignError("slot64 keeps every type in its slot: nothing can be separated from it");
  }
  if (d.word === "page64" && d.separated.has("file") !== d.separated.has("anon")) {
    throw new DesignError(
      "page64 separates file and anon together: one struct folio serves both until anon_folio exists",
    );
  }
  if (d.word === "page64" && d.separated.has("file") !== d.separated.has("ksm")) {
    throw new DesignError("page64 separates ksm with file and anon: a KSM page is a folio there");
  }
  if (d.word === "memdesc8" && d.pageBits === "word") {
    throw new DesignError(
      "memdesc8 has no room for page bits in its word: page-bits=type or descriptor",
    );
  }
  if ((d.word === "page64" || d.word === "slot64") && d.pageBits !== "word") {
    throw new DesignError(`${d.word} keeps page bits in the page's own flags: page-bits=word`);
  }
  if ((d.word === "memdesc16" || d.word === "memdesc8") && d.mapcount === "per-page") {
    throw new DesignError(
      `${d.word} has no room for a map count of every page in its word: mapcount=per-folio`,
    );
  }
  if ((d.types === TYPES_PAGE32) !== (d.word === "page32")) {
    throw new DesignError(
      "the page32 type table belongs to page32, whose list pointers share the word, and to nothing else",
    );
  }
  if (d.pageBits === "type" && d.types.code[TYPE_NAMES.indexOf("anon-exclusive")] < 0) {
    throw new DesignError(
      `page-bits=type needs an unassigned type to spend, which type table ${d.types.name} does not leave`,
    );
  }
  for (const type of d.separated) {
    if (small && d.types.code[TYPE_NAMES.indexOf(type)] < 0 && CORE.has(type)) {
      throw new DesignError(
        `type table ${d.types.name} has no ${type}, which ${d.word} cannot do without`,
      );
    }
  }
}

function canonical(preset: string, base: Preset, d: Unnamed): string {
  const parts: string[] = [];
  for (const { axis, field } of DEVICE_AXES)
    if (d[field] !== base[field]) parts.push(`${axis}=${d[field]}`);
  if (d.freePointer !== base.freePointer) parts.push(`free-pointer=${d.freePointer}`);
  if (d.mapcount !== base.mapcount) parts.push(`mapcount=${d.mapcount}`);
  if (d.pageBits !== base.pageBits) parts.push(`page-bits=${d.pageBits}`);
  parts.push(...canonicalScattered(base.scattered, d));
  if (!sameSet(d.separated, base.separated)) {
    const types = CONVERSION_ORDER.filter((t) => d.separated.has(t));
    const all = types.length === CONVERSION_ORDER.length;
    parts.push(`separated=${types.length === 0 ? "none" : all ? "all" : types.join("/")}`);
  }
  if (d.types !== base.types) parts.push(`types=${d.types.name}`);
  const byAxis = (part: string): string => part.split("=")[0];
  return [preset, ...parts.toSorted((a, b) => (byAxis(a) < byAxis(b) ? -1 : 1))].join("+");
}

/** What of the scattered axes does not follow from the preset and from each other. */
function canonicalScattered(usual: ScatteredName, d: Unnamed): string[] {
  const follows = completeScattered(d.word, usual, { scattered: d.scattered });
  const nid = completeScattered(d.word, usual, {
    scattered: d.scattered,
    scatteredLookup: d.scatteredLookup,
  }).scatteredNid;
  const parts: string[] = [];
  if (d.scattered !== usual) parts.push(`scattered=${d.scattered}`);
  if (d.scatteredLookup !== follows.scatteredLookup)
    parts.push(`scattered-lookup=${d.scatteredLookup}`);
  if (d.scatteredNid !== nid) parts.push(`scattered-nid=${d.scatteredNid}`);
  return parts;
}

const sameSet = (a: ReadonlySet<TypeName>, b: ReadonlySet<TypeName>): boolean =>
  a.size === b.size && [...a].every((t) => b.has(t));

/** Types that the design gives a descriptor and its type table knows. */
const describable = (d: Design): ReadonlySet<TypeName> =>
  new Set(
    [...d.separated].filter((t) => d.word === "page64" || d.types.code[TYPE_NAMES.indexOf(t)] >= 0),
  );

/** Makes the page design on its words. */
export function createWord(d: Design, context: DesignContext): PageDesign {
  const options: WordOptions = {
    separated: describable(d),
    pageBits: d.pageBits,
    types: d.types,
    mapcounts: d.mapcount,
    scatteredNid: d.scatteredNid,
  };
  switch (d.word) {
    case "page64":
      return new Page64(context, options);
    case "page32":
      return new Page32(context, options);
    case "memdesc16":
      return new Memdesc16(context, options);
    case "memdesc8":
      return new Memdesc8(context, options);
    case "slot64":
      return new Slot64(context, options);
    default:
      return d.word satisfies never;
  }
}

/** Bytes per page of a word, and bytes per pageblock of its side table, before a machine exists. */
export const WORD_BYTES: Readonly<
  Record<WordName, { readonly page: number; readonly pageblock: number }>
> = {
  page64: { page: 64, pageblock: 0 },
  page32: { page: 32, pageblock: 0 },
  memdesc16: { page: 16, pageblock: 1 },
  memdesc8: { page: 8, pageblock: 1 },
  slot64: { page: 64, pageblock: 0 },
};

/**
 * Bytes of a device-private page's place in the table of records, where no page
 * word describes it: a pointer to its folio, or a record.
 */
export const DEVICE_RECORD_BYTES: Readonly<Record<DeviceRecordChoice, number>> = {
  page: 0,
  folio: 8,
  "device-private": DEVICE_PRIVATE_SIZE,
};
