/**
 * Fields of an event in its text: which name the kernel's `print fmt` gives to what
 * {@link EVENTS} calls by the name in the format file, and how it is written there.
 *
 * Mostly they are the same (`pfn=0x222ebf`, in 5.15 `pfn=2240191`). Where the kernel
 * prints something else (an offset for an index, a name for a number, hexadecimal
 * without a mark, `ino 2f` without `=`) the tables below say it. Raw text
 * (`trace-cmd report -R`) has the names of the format file; both are always taken.
 *
 * Facts: `print fmt` of the format files of 6.1, 6.12, 6.18; include/trace/events.
 */
import { frameOfPte } from "../ring/read-column.js";
import { EVENTS, type EventSpec, type FieldForm } from "../events.js";
import {
  ascii,
  ByteTable,
  EQUALS,
  findAt,
  hexDigit,
  isDigit,
  low32At,
  numberAt,
  pageAt,
  SPACE,
  TAB,
} from "./bytes.js";
import { flagBits, type KernelNames } from "./kernel-names.js";

/** The four columns, by their bits. */
export const COLUMN_X = 1;
export const COLUMN_A = 2;
export const COLUMN_B = 4;
export const COLUMN_C = 8;

/** How text writes a field; those beyond {@link FieldForm} exist in text only. */
type TextForm = FieldForm | "reason" | "scan" | "reclaim" | "offset";
/** Forms as numbers, for the one place that is run for every field. */
const FORM_NUMBER = 0;
const FORM_LOW = 1;
const FORM_PAGE = 2;
const FORM_PAGES = 3;
const FORM_PTE = 4;
const FORM_LRU = 5;
const FORM_NAMED = 6;

/** How a field of this form is read; large numbers are only those of column `x`. */
function readingOf(form: TextForm, column: number): number {
  switch (form) {
    case "number":
    case "pfn":
      return column === COLUMN_X ? FORM_NUMBER : FORM_LOW;
    case "page":
    case "offset":
      return FORM_PAGE;
    case "pages":
      return FORM_PAGES;
    case "pte":
      return FORM_PTE;
    case "lru-flags":
      return FORM_LRU;
    default:
      return FORM_NAMED;
  }
}

type Column = "x" | "a" | "b" | "c";

interface TextField {
  readonly column: number;
  readonly form: TextForm;
  readonly reading: number;
  readonly name: Uint8Array;
  /** Hexadecimal without `0x`. */
  readonly hex: boolean;
  /** What stands between name and value where it is not `=`. */
  readonly marker: Uint8Array | null;
}

interface Alias {
  readonly name: string;
  readonly form?: TextForm;
  readonly hex?: boolean;
  readonly separator?: string;
}

const OFFSET: readonly Alias[] = [{ name: "ofs", form: "offset" }];
/** Raw text takes the digits from `print fmt` and only the name from the field. */
const INO: readonly Alias[] = [
  { name: "ino", hex: true, separator: " " },
  { name: "i_ino", hex: true },
];
const SCAN_PFN: readonly Alias[] = [{ name: "scan_pfn" }];
const ADDR: readonly Alias[] = [{ name: "addr", hex: true }];
const PTE: readonly Alias[] = [{ name: "pte", hex: true }];

/** Names in text that differ from those of the format file, by event and column. */
const ALIASES: Readonly<Record<string, Partial<Record<Column, readonly Alias[]>>>> = {
  mm_filemap_add_to_page_cache: { b: INO, c: OFFSET },
  mm_filemap_delete_from_page_cache: { b: INO, c: OFFSET },
  rss_stat: { b: [{ name: "type" }] },
  mm_migrate_pages: {
    a: [{ name: "nr_succeeded" }],
    b: [{ name: "nr_failed" }],
    c: [{ name: "reason", form: "reason" }],
  },
  mm_collapse_huge_page: { b: [{ name: "status", form: "scan" }] },
  mm_khugepaged_scan_pmd: { x: SCAN_PFN, a: [{ name: "status", form: "scan" }] },
  mm_khugepaged_scan_file: { x: SCAN_PFN, a: [{ name: "result", form: "scan" }] },
  mm_khugepaged_collapse_file: { a: [{ name: "result", form: "scan" }] },
  mm_vmscan_write_folio: { a: [{ name: "flags", form: "reclaim" }] },
  alloc_vmap_area: { x: [{ name: "va_start", separator: ": " }] },
  set_migration_pte: { x: PTE, b: ADDR },
  remove_migration_pte: { x: PTE, b: ADDR },
};

/** What to look for in the text of one event. */
export interface TextPlan {
  readonly spec: EventSpec;
  /** The best name of each column, in the order of the text as far as it is known. */
  readonly fields: readonly TextField[];
  /** Other names (raw text, older kernels), for columns that the first did not find. */
  readonly others: readonly TextField[];
  /** Columns that the event has. */
  readonly columns: number;
}

const BITS: readonly (readonly [Column, number])[] = [
  ["x", COLUMN_X],
  ["a", COLUMN_A],
  ["b", COLUMN_B],
  ["c", COLUMN_C],
];

export function planOf(spec: EventSpec): TextPlan {
  const fields: TextField[] = [];
  const others: TextField[] = [];
  let columns = 0;
  for (const [column, bit] of BITS) {
    const source = spec[column];
    if (source === undefined) continue;
    columns |= bit;
    const aliases = ALIASES[spec.name]?.[column] ?? [];
    const own = typeof source.field === "string" ? [source.field] : source.field;
    const all: Alias[] = [...aliases];
    for (const name of own) if (!all.some((a) => a.name === name)) all.push({ name });
    for (const [rank, alias] of all.entries())
      (rank === 0 ? fields : others).push({
        column: bit,
        form: alias.form ?? source.form,
        reading: readingOf(alias.form ?? source.form, bit),
        name: ascii(alias.name),
        hex: alias.hex ?? false,
        marker: alias.separator === undefined ? null : ascii(` ${alias.name}${alias.separator}`),
      });
  }
  return { spec, fields, others, columns };
}

/** Plans of all events, by name. `mm_vmscan_writepage` is what 5.15 calls `mm_vmscan_write_folio`. */
export function textPlans(): Map<string, TextPlan> {
  const plans = new Map<string, TextPlan>();
  for (const spec of EVENTS) plans.set(spec.name, planOf(spec));
  const write = plans.get("mm_vmscan_write_folio");
  if (write !== undefined) plans.set("mm_vmscan_writepage", write);
  return plans;
}

/** The letters of a page's flags in LRU events and their bits (include/trace/events/pagemap.h). */
const LRU_BITS = new Uint8Array(128);
for (const [letter, bit] of [
  ["M", 0x01],
  ["a", 0x02],
  ["f", 0x04],
  ["s", 0x08],
  ["b", 0x10],
  ["d", 0x20],
  ["B", 0x40],
] as const)
  LRU_BITS[letter.charCodeAt(0)] = bit;
const LRU_LETTERS = 6;

/** Reads the fields of a line; what it found is in its properties until the next one. */
export class LineFields {
  x = -1;
  a = 0;
  b = 0;
  c = 0;
  /** Columns that were found. */
  found = 0;
  /** A name that no table has; null if there was none. */
  unknown: string | null = null;
  private names: KernelNames;
  private readonly caches = new Map<TextForm, NameCache>();

  constructor(names: KernelNames) {
    this.names = names;
  }

  /** From now on by the tables of this kernel. */
  use(names: KernelNames): void {
    this.names = names;
    this.caches.clear();
  }

  /** Finds the fields between two places. */
  read(buf: Uint8Array, from: number, end: number, plan: TextPlan): void {
    this.x = -1;
    this.a = 0;
    this.b = 0;
    this.c = 0;
    this.unknown = null;
    let missing = this.search(buf, from, end, plan.fields, plan.columns);
    if (missing !== 0 && plan.others.length > 0)
      missing = this.search(buf, from, end, plan.others, missing);
    this.found = plan.columns & ~missing;
  }

  /** Looks for those of the fields that are missing; the columns that then still are. */
  private search(
    buf: Uint8Array,
    from: number,
    end: number,
    fields: readonly TextField[],
    columns: number,
  ): number {
    const n = fields.length;
    let missing = columns;
    let next = 0;
    for (let i = from; ; i++) {
      while (i < end && buf[i] !== EQUALS) i++;
      if (i >= end) break;
      for (let tries = 0, k = next; tries < n; tries++, k = k + 1 === n ? 0 : k + 1) {
        const field = fields[k];
        if ((missing & field.column) === 0 || !endsWith(buf, from, i, field.name)) continue;
        if (this.value(buf, i + 1, end, field)) missing &= ~field.column;
        if (missing === 0) return 0;
        next = k + 1 === n ? 0 : k + 1;
        break;
      }
    }
    // Fields that are written without `=`.
    for (const field of fields) {
      if (field.marker === null || (missing & field.column) === 0) continue;
      // The line's own space before the first field belongs to the marker.
      const at = findAt(buf, from - 1, end, field.marker);
      if (at >= 0 && this.value(buf, at + field.marker.length, end, field))
        missing &= ~field.column;
    }
    return missing;
  }

  private value(buf: Uint8Array, at: number, end: number, field: TextField): boolean {
    const v = this.number(buf, at, end, field);
    if (Number.isNaN(v)) return false;
    switch (field.column) {
      case COLUMN_X:
        this.x = v;
        break;
      case COLUMN_A:
        this.a = v;
        break;
      case COLUMN_B:
        this.b = v;
        break;
      default:
        this.c = v;
    }
    return true;
  }

  private number(buf: Uint8Array, at: number, end: number, field: TextField): number {
    switch (field.reading) {
      case FORM_NUMBER:
        return numberAt(buf, at, end, field.hex);
      case FORM_LOW:
        return low32At(buf, at, end, field.hex);
      case FORM_PAGE: {
        const page = pageAt(buf, at, end, field.hex);
        return field.column === COLUMN_X || Number.isNaN(page) ? page : page | 0;
      }
      case FORM_PAGES: {
        const bytes = numberAt(buf, at, end, field.hex);
        return Number.isNaN(bytes) ? bytes : Math.ceil(bytes / 4096) | 0;
      }
      case FORM_PTE:
        return pteFrame(buf, at, end);
      case FORM_LRU:
        return lruFlags(buf, at, end);
      default:
        return this.named(buf, at, end, field.form);
    }
  }

  /** A number that is written by name, or as a number after all. */
  private named(buf: Uint8Array, at: number, end: number, form: TextForm): number {
    if (at < end && (isDigit(buf[at]) || buf[at] === 45)) return low32At(buf, at, end);
    let to = at;
    while (to < end && buf[to] !== SPACE && buf[to] !== TAB && buf[to] !== 44) to++;
    if (to === at) return Number.NaN;
    let cache = this.caches.get(form);
    if (cache === undefined) {
      cache = new NameCache(tableOf(this.names, form));
      this.caches.set(form, cache);
    }
    const v = cache.value(buf, at, to);
    if (cache.unknown !== null) this.unknown = cache.unknown;
    return v;
  }
}

function tableOf(names: KernelNames, form: TextForm): ReadonlyMap<string, number> {
  switch (form) {
    case "member":
      return names.member;
    case "reason":
      return names.reason;
    case "scan":
      return names.scan;
    case "reclaim":
      return names.reclaim;
    default:
      return names.gfp;
  }
}

/** Whole spellings (`GFP_KERNEL|__GFP_ZERO`) and their numbers, each worked out once. */
class NameCache {
  /** The part without a number in what was asked last. */
  unknown: string | null = null;
  private readonly table: ReadonlyMap<string, number>;
  private readonly spellings = new ByteTable(4096);
  private readonly values: number[] = [];
  private readonly unknowns: (string | null)[] = [];

  constructor(table: ReadonlyMap<string, number>) {
    this.table = table;
  }

  value(buf: Uint8Array, from: number, to: number): number {
    const id = this.spellings.find(buf, from, to);
    if (id >= 0 && id < this.values.length) {
      this.unknown = this.unknowns[id];
      return this.values[id];
    }
    const text =
      id >= 0 ? this.spellings.texts[id] : new TextDecoder().decode(buf.subarray(from, to));
    const { bits, unknown } = flagBits(text, this.table);
    if (id >= 0) {
      this.values.push(bits);
      this.unknowns.push(unknown);
    }
    this.unknown = unknown;
    return bits;
  }
}

/** `Ma bd `: a letter or a blank for each flag, blanks at the end perhaps cut off. */
function lruFlags(buf: Uint8Array, at: number, end: number): number {
  if (at < end && buf[at] === 48) return low32At(buf, at, end);
  let bits = 0;
  const to = Math.min(end, at + LRU_LETTERS);
  for (let i = at; i < to; i++) {
    const b = buf[i];
    if (b === SPACE) continue;
    const bit = b < 128 ? LRU_BITS[b] : 0;
    if (bit === 0) {
      // Raw text has a number; anything else is no flag.
      return i === at && isDigit(b) ? low32At(buf, at, end) : Number.NaN;
    }
    bits |= bit;
  }
  return bits === 0 ? Number.NaN : bits;
}

/** The frame of an entry, which is printed as sixteen hexadecimal digits or fewer, without `0x`. */
function pteFrame(buf: Uint8Array, at: number, end: number): number {
  const from = at + 2 < end && buf[at] === 48 && buf[at + 1] === 120 ? at + 2 : at;
  let to = from;
  while (to < end && hexDigit(buf[to]) >= 0) to++;
  const low = low32At(buf, Math.max(from, to - 8), to, true);
  const high = to - from > 8 ? low32At(buf, Math.max(from, to - 16), to - 8, true) : 0;
  return Number.isNaN(low) ? low : frameOfPte(low, high);
}

/** Whether a field's name ends before this place and nothing of a longer name stands before it. */
function endsWith(buf: Uint8Array, from: number, at: number, name: Uint8Array): boolean {
  const start = at - name.length;
  if (start < from) return false;
  for (let i = name.length - 1; i >= 0; i--) if (buf[start + i] !== name[i]) return false;
  if (start === from) return true;
  const before = buf[start - 1];
  return before === SPACE || before === 44 || before === TAB;
}
