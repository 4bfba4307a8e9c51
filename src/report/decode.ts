/**
 * Words and descriptors of the simulated machine, bit by bit, for people.
 *
 * Which field of a struct shows at an offset that several share is decided by
 * what the page is, as a debugger would; values are read from the words.
 */
import { LOCATION_MASK, locationKey } from "../engine/design/word/axis-flags.js";
import { FLAG_NAMES } from "../engine/design/word/axis-flag-names.js";
import { MISC_NAMES, T_BUDDY, T_MISC, TYPE_NAMES } from "../engine/design/word/axis-types.js";
import type { StructField, StructTable } from "../engine/layout/struct-table.js";
import type { Machine } from "../engine/machine.js";
import { ZONE_TYPES } from "../engine/pages/zones.js";
import type { Ref } from "../units.js";
import type { PageField, PageWord } from "./page-model.js";

/** enum pagetype of 6.18, by its top byte. */
const PAGE_TYPES: Readonly<Record<number, string>> = {
  0xf0: "buddy",
  0xf1: "offline",
  0xf2: "table",
  0xf3: "guard",
  0xf4: "hugetlb",
  0xf5: "slab",
  0xf6: "zsmalloc",
  0xf7: "unaccepted",
  0xf8: "large_kmalloc",
};

/** A 64-bit value as `0x` and 16 digits. */
export const hex64 = (lo: number, hi: number): string =>
  `0x${(hi >>> 0).toString(16).padStart(8, "0")}${(lo >>> 0).toString(16).padStart(8, "0")}`;

/** An arena address as `0x…`, short. */
export const address = (ref: number, off = 0): string => `0x${(ref * 16 + off).toString(16)}`;

const flagsMeaning = (lo: number): string =>
  FLAG_NAMES.filter(([bit]) => (lo & bit) !== 0)
    .map(([, name]) => name)
    .join(",");

/** Node and zone in the high half of a flags or Misc word. */
function locationFields(hi: number): PageField[] {
  const zone = (hi >>> 19) & 7;
  return [
    {
      name: "zone",
      offset: 51,
      width: 3,
      value: String(zone),
      meaning: ZONE_TYPES[zone] ?? "unknown",
    },
    { name: "node", offset: 54, width: 10, value: String(hi >>> 22), meaning: "" },
  ];
}

function flagsFields(lo: number, hi: number): PageField[] {
  return [
    {
      name: "flags",
      offset: 0,
      width: 35,
      value: `0x${(lo >>> 0).toString(16)}`,
      meaning: flagsMeaning(lo),
    },
    ...locationFields(hi & LOCATION_MASK),
  ];
}

/** A tagged word, in the form that its type gives it. */
export function taggedFields(machine: Machine, pfn: number, lo: number, hi: number): PageField[] {
  const { types } = machine.design;
  const code = lo & 15;
  const type = types.type[code];
  const typeName = type < 0 ? "unassigned" : TYPE_NAMES[type];
  const tag: PageField = {
    name: "type",
    offset: 0,
    width: 4,
    value: String(code),
    meaning: typeName,
  };
  if ((lo | hi) === 0 && machine.design.typeOf(pfn) === T_BUDDY) {
    return [
      {
        ...tag,
        width: 64,
        value: "0",
        meaning: `inside the free block at frame ${machine.design.blockOf(pfn)}`,
      },
    ];
  }
  if (type === T_BUDDY) return [tag, ...linkFields(machine, pfn, lo)];
  if (type !== T_MISC) {
    return [
      tag,
      {
        name: "descriptor",
        offset: 4,
        width: 60,
        value: hex64(lo & ~15, hi),
        meaning: `${typeName} descriptor`,
      },
    ];
  }
  const subtype = (lo >>> 4) & 127;
  return [
    tag,
    {
      name: "subtype",
      offset: 4,
      width: 7,
      value: String(subtype),
      meaning: MISC_NAMES[subtype] ?? "unassigned",
    },
    {
      name: "mappable",
      offset: 11,
      width: 1,
      value: String((lo >>> 11) & 1),
      meaning: "may be mapped to user space",
    },
    { name: "order", offset: 12, width: 6, value: String((lo >>> 12) & 63), meaning: "" },
    ...locationFields(hi),
  ];
}

/** Links of a block on a list, as frames: what the bits come to. */
function linkFields(machine: Machine, pfn: number, lo: number): PageField[] {
  const { design } = machine;
  const order = design.freeOrderAt(pfn);
  const frame = (n: number): string => (n < 0 ? "end of the list" : `frame ${n}`);
  const packed = design.pageBytes === 8;
  const list = order >= 0 ? "free list" : "per-CPU list";
  const fields: PageField[] = [
    {
      name: "next",
      offset: packed ? 8 : 4,
      width: packed ? 28 : 60,
      value: String(design.nextOf(pfn)),
      meaning: frame(design.nextOf(pfn)),
    },
  ];
  if (!packed) return fields;
  return [
    { name: "order", offset: 4, width: 4, value: String((lo >>> 4) & 15), meaning: list },
    ...fields,
    {
      name: "prev",
      offset: 36,
      width: 28,
      value: String(design.prevOf(pfn)),
      meaning: frame(design.prevOf(pfn)),
    },
  ];
}

/** The fields of a struct at `ref`, those in `hidden` left out. */
export function structFields(
  machine: Machine,
  table: StructTable,
  ref: Ref,
  hidden: (field: StructField) => boolean,
): PageField[] {
  return table.fields
    .filter((f) => !hidden(f))
    .flatMap((f) =>
      fieldOf(machine, f, ref).map((field) => ({ ...field, offset: field.offset + f.offset * 8 })),
    );
}

/** One field, its bits counted from its own start. */
function fieldOf(machine: Machine, f: StructField, ref: Ref): PageField[] {
  const { w } = machine;
  if (f.width < 8) {
    const word = w.load32(ref, f.offset & ~3) >>> ((f.offset & 3) * 8);
    const value = f.width === 4 ? word : word & (2 ** (f.width * 8) - 1);
    const text = f.name === "page_type" ? `0x${(value >>> 0).toString(16)}` : String(value | 0);
    return [
      {
        name: f.name,
        offset: 0,
        width: f.width * 8,
        value: text,
        meaning: smallMeaning(f.name, value | 0),
      },
    ];
  }
  const lo = w.load64(ref, f.offset);
  const hi = w.hi;
  if (f.name === "flags") return flagsFields(lo, hi);
  return [
    {
      name: f.name,
      offset: 0,
      width: f.width * 8,
      value: hex64(lo, hi),
      meaning: wideMeaning(f.name, lo, hi),
    },
  ];
}

function smallMeaning(name: string, value: number): string {
  if (name === "mapcount" || name === "large_mapcount" || name === "entire_mapcount") {
    return value === -1 ? "not mapped" : value === 0 ? "mapped once" : `mapped ${value + 1} times`;
  }
  if (name === "page_type") return PAGE_TYPES[value >>> 24] ?? "unknown page type";
  return "";
}

function wideMeaning(name: string, lo: number, hi: number): string {
  if (name === "mapping" && (lo | hi) !== 0)
    return ["address_space", "anon", "movable_ops", "ksm"][lo & 3];
  if (name === "compound_head" && lo & 1) return "tail: address of the head + 1";
  if (name === "pfn") return `frame ${lo >>> 0}`;
  if (name.startsWith("memcg") && (lo | hi) !== 0)
    return `cgroup inode ${(hi * 2 ** 32 + (lo >>> 0)) / 16}`;
  return "";
}

/** The words of a page's own entry in the page array. */
export function wordsOf(
  machine: Machine,
  pfn: number,
  table: StructTable,
  ref: Ref,
  off: number,
): PageWord[] {
  const { w } = machine;
  const words: PageWord[] = [];
  const hidden = hiddenFields(machine, pfn, table);
  for (let at = 0; at < table.size; at += 8) {
    const lo = w.load64(ref, off + at);
    const hi = w.hi;
    const inWord = table.fields.filter((f) => f.offset >= at && f.offset < at + 8 && !hidden(f));
    const tagged = inWord.some((f) => f.name === "memdesc");
    const fields = tagged
      ? taggedFields(machine, pfn, lo, hi)
      : inWord.flatMap((f) =>
          fieldOf(machine, { ...f, offset: off + f.offset }, ref).map((g) => ({
            ...g,
            offset: g.offset + (f.offset - at) * 8,
          })),
        );
    words.push({ address: address(ref, off + at), value: hex64(lo, hi), fields });
  }
  return words;
}

/** Which of the fields that share bytes say nothing about this page. */
function hiddenFields(
  machine: Machine,
  pfn: number,
  table: StructTable,
): (field: StructField) => boolean {
  const { design, w } = machine;
  const free = design.typeOf(pfn) === T_BUDDY;
  const has = (name: string): boolean => table.fields.some((f) => f.name === name);
  const entry = design.wordsOf(pfn);
  const second = has("compound_head") ? w.load32(entry.ref, 8) & 3 : 0;
  const typed =
    has("page_type") && w.load32(entry.ref, 48) >>> 24 >= 0xf0 && w.load32(entry.ref, 48) !== -1;
  return (f) => {
    if (f.name === "compound_head") return second === 0;
    if (f.name === "lru_next") return second !== 0;
    if (f.name === "page_type") return !typed;
    if (f.name === "mapcount" && has("page_type")) return typed;
    // On a list the links are shown, else the memdesc and what goes with it.
    if (f.name === "list_next" || f.name === "list_prev") return !free || table.size === 16;
    if (f.name === "refcount" && table.size === 32) return free;
    if (f.name === "memdesc" && table.size === 32) return free;
    if (f.name === "private" && table.size === 32) return !free;
    if (f.name === "mapcount" && table.size === 32) return free;
    return false;
  };
}

/** Zone and node of a page, as its design answers. */
export function locationOf(machine: Machine, pfn: number): { zone: string; node: number } {
  const zone = machine.config.zones[machine.design.zoneOf(pfn)];
  if (zone === undefined) return { zone: "none", node: locationKey(0) };
  return { zone: ZONE_TYPES[zone.type], node: zone.node };
}
