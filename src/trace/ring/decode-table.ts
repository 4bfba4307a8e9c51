/**
 * From the rows of EVENTS and a kernel's format files to a table of small integers
 * that the decoder runs by: event id → slot, slot → where each column is and how it
 * is read. Everything that is a name, a form or an exception is settled here, once.
 *
 * An event whose frame (or what else stands in `x`) has no field is not read at all,
 * and said so; any other column without a field holds 0, and that is said too.
 */
import { EVENTS, type EventSpec, type FieldForm, type FieldSource } from "../events.js";
import type { TraceNote } from "../source.js";
import type { EventFormat, FormatField } from "./event-format.js";

/** How a column is read. NONE: 0 in a small column, −1 in `x`. */
export const READ_NONE = 0;
export const READ_U8 = 1;
export const READ_I8 = 2;
export const READ_U16 = 3;
export const READ_I16 = 4;
export const READ_U32 = 5;
export const READ_I32 = 6;
export const READ_U64 = 7;
export const READ_I64 = 8;
/** 64 bits, without the lowest 12. */
export const READ_PAGE = 9;
/** 64 bits, in pages of 4 KiB, rounded up. */
export const READ_PAGES = 10;
/** 64 bits of a page-table entry, of which the frame. */
export const READ_PTE = 11;
/** A frame of 64 or 32 bits, of which all ones are none: an allocation that failed. */
export const READ_PFN = 12;
export const READ_PFN_32 = 13;

/** What the twelve integers of a slot are. */
export const SLOT_KIND = 0;
/** Fewest and most bytes of the event, common part included. */
export const SLOT_LEAST = 1;
export const SLOT_MOST = 2;
export const SLOT_PID = 3;
/** Offset and way of reading of x, a, b and c. */
export const SLOT_X = 4;
export const SLOT_A = 6;
export const SLOT_B = 8;
export const SLOT_C = 10;

export interface DecodeTable {
  /** Where an event's slot begins in `slots`, by event id; −1 for an event that is not read. */
  readonly slotOf: Int32Array;
  readonly slots: Int32Array;
  /** Names by id of all events with a format, read or not. */
  readonly names: ReadonlyMap<number, string>;
  /** Names of the events that are read. */
  readonly known: readonly string[];
  readonly notes: readonly TraceNote[];
}

/** A format file read, and the group it stands in where that is known. */
export interface KnownFormat {
  readonly system: string | null;
  readonly format: EventFormat;
}

export function makeDecodeTable(formats: readonly KnownFormat[]): DecodeTable {
  const slotOf = new Int32Array(65_536).fill(-1);
  const slots: number[] = [];
  const names = new Map<number, string>();
  const known: string[] = [];
  const notes: TraceNote[] = [];
  for (const { system, format } of formats) {
    names.set(format.id, format.name);
    const spec = EVENTS.find(
      (e) => e.name === format.name && (system === null || system === e.system),
    );
    if (spec === undefined) continue;
    const slot = slotFor(spec, format, notes);
    if (slot === null) continue;
    slotOf[format.id] = slots.length;
    slots.push(...slot);
    known.push(spec.name);
  }
  return { slotOf, slots: Int32Array.from(slots), names, known, notes };
}

function slotFor(spec: EventSpec, format: EventFormat, notes: TraceNote[]): number[] | null {
  const left = (why: string): null => {
    notes.push({ subject: spec.name, text: `not read: ${why}` });
    return null;
  };
  const type = format.fields.get("common_type");
  const pid = format.fields.get("common_pid");
  if (type === undefined || type.offset !== 0 || type.size !== 2)
    return left("its format has no common_type of two bytes at its beginning");
  if (pid === undefined || pid.size !== 4 || pid.offset % 4 !== 0)
    return left("its format has no common_pid of four bytes");
  const slot = [
    spec.kind,
    format.end,
    // The kernel rounds an event up to whole longs.
    format.open ? 0x7fffffff : (format.end + 7) & ~7,
    pid.offset,
  ];
  for (const column of ["x", "a", "b", "c"] as const) {
    const source = spec[column];
    const field = source === undefined ? undefined : fieldOf(source, format);
    const how = source === undefined || field === undefined ? null : readingOf(field, source.form);
    if (source !== undefined && how === null) {
      const name = typeof source.field === "string" ? source.field : source.field.join(" or ");
      const why =
        field === undefined
          ? `no field ${name} in this kernel`
          : `field ${name} has ${field.size} bytes at ${field.offset}`;
      if (column === "x") return left(why);
      notes.push({ subject: spec.name, text: `${why}, taken as 0` });
    }
    slot.push(field === undefined || how === null ? 0 : field.offset, how ?? READ_NONE);
  }
  return slot;
}

function fieldOf(source: FieldSource, format: EventFormat): FormatField | undefined {
  const names = typeof source.field === "string" ? [source.field] : source.field;
  const name = names.find((n) => format.fields.has(n));
  return name === undefined ? undefined : format.fields.get(name);
}

const WIDTHS: Readonly<Record<number, readonly [unsigned: number, signed: number]>> = {
  1: [READ_U8, READ_I8],
  2: [READ_U16, READ_I16],
  4: [READ_U32, READ_I32],
  8: [READ_U64, READ_I64],
};

/** How a field of this form is read; null where it is no number, or not aligned. */
function readingOf(field: FormatField, form: FieldForm): number | null {
  const width = WIDTHS[field.size];
  if (width === undefined || field.array) return null;
  if (field.offset % Math.min(field.size, 4) !== 0) return null;
  const long = field.size === 8;
  switch (form) {
    case "page":
      return long ? READ_PAGE : null;
    case "pages":
      return long ? READ_PAGES : null;
    case "pte":
      return long ? READ_PTE : null;
    case "pfn":
      return long ? READ_PFN : field.size === 4 ? READ_PFN_32 : null;
    case "number":
    case "gfp":
    case "lru-flags":
    case "member":
      return width[field.signed ? 1 : 0];
  }
}
