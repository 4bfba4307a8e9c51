/**
 * The kernel's own descriptions of its trace data: `events/<system>/<name>/format`,
 * `events/header_page` and `events/header_event`.
 *
 * Event ids, offsets and sizes of fields differ between kernels and between two boots
 * of one (modules), so nothing about them is written down here: it is read from these
 * files. What cannot be read is an InputError by file and line; what a kernel says
 * beyond what is needed (the print format, sections to come) is passed over.
 *
 * Facts: f_show() and print_event_fields() in kernel/trace/trace_events.c,
 * ring_buffer_print_page_header() and ring_buffer_print_entry_header() in
 * kernel/trace/ring_buffer.c of 6.1, 6.12 and 6.18.
 */
import { excerpt, InputError } from "../../observe/input-error.js";

/** A format file is at most one page of text; mm_page_alloc's, with all gfp names, is 5 KB. */
export const MAX_FORMAT = 64 * 1024;

const HINT = "give the file as the kernel shows it below events/";

export interface FormatField {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly signed: boolean;
  /** An array, or a place in the event's variable part: no number. */
  readonly array: boolean;
}

export interface EventFormat {
  readonly name: string;
  readonly id: number;
  readonly fields: ReadonlyMap<string, FormatField>;
  /** First byte after the last field. */
  readonly end: number;
  /** Has a part of variable length after its fields. */
  readonly open: boolean;
}

/** How a sub-buffer begins, and how long it is. */
export interface PageHeader {
  readonly timeOffset: number;
  readonly commitOffset: number;
  /** Bytes of a long of that kernel: 8, or 4. */
  readonly commitSize: number;
  readonly dataOffset: number;
  readonly dataSize: number;
}

/** A format file. Throws InputError where it is none. */
export function parseEventFormat(text: string, file: string): EventFormat {
  let name: string | null = null;
  let id: number | null = null;
  const fields = new Map<string, FormatField>();
  let end = 0;
  let open = false;
  const lines = text.split("\n");
  for (const [i, line] of lines.entries()) {
    if (line.startsWith("print fmt:")) break;
    const named = /^name:\s*(\S+)\s*$/.exec(line);
    if (named) name = named[1];
    const numbered = /^ID:\s*(\d{1,9})\s*$/.exec(line);
    if (numbered) id = Number(numbered[1]);
    if (!/^\s*field:/.test(line)) continue;
    const field = parseField(line, file, i + 1);
    fields.set(field.name, field);
    end = Math.max(end, field.offset + field.size);
    if (/^\s*field:\s*__(?:rel_)?(?:data_loc|loc)\b/.test(line) || field.size === 0) open = true;
  }
  if (name === null) throw new InputError({ file }, "no line that begins with name:", HINT);
  if (id === null) throw new InputError({ file }, "no line that begins with ID:", HINT);
  // common_type has two bytes.
  if (id < 1 || id > 0xffff) throw new InputError({ file }, `ID ${id} is none`, HINT);
  return { name, id, fields, end, open };
}

/** `field:unsigned long pfn;	offset:8;	size:8;	signed:0;` */
function parseField(line: string, file: string, at: number): FormatField {
  const m =
    /^\s*field:\s*([^;]*?)([A-Za-z_]\w*)((?:\[[^\]]*\])*)\s*;\s*offset:\s*(\d{1,6});\s*size:\s*(\d{1,6});(?:\s*signed:\s*(\d))?/.exec(
      line,
    );
  if (!m) {
    throw new InputError({ file, line: at }, `not a field: ${excerpt(line.trim())}`, HINT);
  }
  return {
    name: m[2],
    offset: Number(m[4]),
    size: Number(m[5]),
    signed: m[6] !== undefined && m[6] !== "0",
    array: m[3] !== "" || /\[|__(?:rel_)?(?:data_loc|loc)\b/.test(m[1]),
  };
}

/** `events/header_page`. Throws InputError where its numbers are no layout of a sub-buffer. */
export function parsePageHeader(text: string, file: string): PageHeader {
  const fields = new Map<string, FormatField>();
  for (const [i, line] of text.split("\n").entries()) {
    if (!/^\s*field:/.test(line)) continue;
    const field = parseField(line, file, i + 1);
    fields.set(field.name, field);
  }
  const need = (name: string): FormatField => {
    const field = fields.get(name);
    if (field === undefined) throw new InputError({ file }, `has no field ${name}`, HINT);
    return field;
  };
  const time = need("timestamp");
  const commit = need("commit");
  const data = need("data");
  const sound =
    time.size === 8 &&
    (commit.size === 8 || commit.size === 4) &&
    time.offset % 4 === 0 &&
    commit.offset % 4 === 0 &&
    data.offset % 4 === 0 &&
    data.offset >= time.offset + 8 &&
    data.offset >= commit.offset + commit.size &&
    data.size >= 16 &&
    // Sub-buffers are whole pages, of which a kernel lets at most 64 be put together.
    (data.offset + data.size) % 4 === 0 &&
    data.offset + data.size <= 64 * 65_536;
  if (!sound) throw new InputError({ file }, "no layout of a sub-buffer that is known", HINT);
  return {
    timeOffset: time.offset,
    commitOffset: commit.offset,
    commitSize: commit.size,
    dataOffset: data.offset,
    dataSize: data.size,
  };
}

/** The layout of every 64-bit kernel with pages of 4 KiB, where no header_page is at hand. */
export const USUAL_PAGE: PageHeader = {
  timeOffset: 0,
  commitOffset: 8,
  commitSize: 8,
  dataOffset: 16,
  dataSize: 4080,
};

const EVENT_HEADER: readonly (readonly [RegExp, string])[] = [
  [/^\s*type_len\s*:\s*5 bits/m, "a type_len of 5 bits"],
  [/^\s*time_delta\s*:\s*27 bits/m, "a time_delta of 27 bits"],
  [/^\s*padding\s*:\s*type == 29/m, "padding as type 29"],
  [/^\s*time_extend\s*:\s*type == 30/m, "time_extend as type 30"],
  [/max type_len\s*==\s*28/m, "a longest short event of 28 words"],
];

/** `events/header_event` says what the decoder takes for granted, or an InputError says what not. */
export function checkEventHeader(text: string, file: string): void {
  for (const [pattern, what] of EVENT_HEADER) {
    if (!pattern.test(text)) {
      throw new InputError({ file }, `does not say ${what}`, "a ring buffer of an unknown kind");
    }
  }
}
