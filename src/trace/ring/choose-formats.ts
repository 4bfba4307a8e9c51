/**
 * Which kernel's format files a ring buffer was written under.
 *
 * The bytes do not say. Every set of format files is tried on the first sub-buffers of
 * each processor; the right one knows the ids that occur, and its events have the
 * length that occurs. Where two fit equally, the later one by name is taken, and said.
 */
import { InputError } from "../../observe/input-error.js";
import type { TraceNote } from "../source.js";
import { type DecodeTable, makeDecodeTable } from "./decode-table.js";
import {
  checkEventHeader,
  type PageHeader,
  parseEventFormat,
  parsePageHeader,
  USUAL_PAGE,
} from "./event-format.js";
import type { RingLane } from "./lane.js";
import { PageDecoder, RingTally } from "./page-decoder.js";

/** Format files of a kernel as they were found: text by name. */
export interface FormatFiles {
  /** What to call the set: `formats/6.18`. */
  readonly label: string;
  /** The kernel's version, where the folder's name is one. */
  readonly kernel: string | null;
  /** Text by file name: `kmem.mm_page_alloc.format`, `kmem/mm_page_alloc/format`, `header_page`. */
  readonly files: ReadonlyMap<string, string>;
}

export interface FormatSet {
  readonly label: string;
  readonly kernel: string | null;
  readonly header: PageHeader;
  readonly table: DecodeTable;
}

/** Reads a set of format files. Throws InputError where one of them is none. */
export function readFormats(found: FormatFiles): FormatSet {
  let header = USUAL_PAGE;
  const formats = [];
  for (const [name, text] of found.files) {
    const file = `${found.label}/${name}`;
    if (name === "header_page") header = parsePageHeader(text, file);
    else if (name === "header_event") checkEventHeader(text, file);
    else formats.push({ system: systemOf(name), format: parseEventFormat(text, file) });
  }
  const table = makeDecodeTable(formats);
  return { label: found.label, kernel: found.kernel, header, table };
}

/** The group in a format file's name. */
function systemOf(name: string): string | null {
  const m = /^([^./]+)[./]/.exec(name);
  return m?.[1] ?? null;
}

interface Tried {
  readonly set: FormatSet;
  readonly read: number;
  readonly others: number;
  readonly whole: boolean;
}

export interface ChosenFormats {
  readonly set: FormatSet;
  readonly notes: readonly TraceNote[];
}

/**
 * The set that fits. `lanes` have been fetched and hold their first sub-buffers;
 * all sets have the same header. Throws InputError, naming `where`, where none fits.
 */
export function chooseFormats(
  sets: readonly FormatSet[],
  lanes: readonly RingLane[],
  where: string,
): ChosenFormats {
  const tried = sets.map((set) => tryOn(set, lanes));
  // Later names are later kernels: of two that fit alike the last is taken.
  tried.sort(
    (a, b) =>
      Number(a.whole) - Number(b.whole) ||
      a.read - b.read ||
      b.others - a.others ||
      a.set.label.localeCompare(b.set.label, "en", { numeric: true }),
  );
  const best = tried[tried.length - 1];
  if (best === undefined || (best.read === 0 && best.others > 0)) {
    throw new InputError(
      { file: where },
      "no event of the trace has a format among those at hand",
      "put the kernel's own format files into a folder named formats beside the buffers",
    );
  }
  const notes: TraceNote[] = [...best.set.table.notes];
  const equal = tried.filter(
    (t) => t.whole === best.whole && t.read === best.read && t.others === best.others,
  );
  if (sets.length > 1) {
    const text =
      equal.length > 1
        ? `those of ${equal.map((t) => t.set.label).join(" and ")} fit alike; ${best.set.label} is taken`
        : `those of ${best.set.label} fit the ids and lengths of the events best`;
    notes.unshift({ subject: "formats", text });
  }
  return { set: best.set, notes };
}

function tryOn(set: FormatSet, lanes: readonly RingLane[]): Tried {
  const tally = new RingTally();
  let events = 0;
  let whole = true;
  for (const lane of lanes) {
    const decoder = new PageDecoder(lane.cpu, set.header, set.table, tally);
    if (!lane.probe(decoder)) whole = false;
    events += decoder.events;
  }
  const others = tally.others.reduce((sum, n) => sum + n, 0);
  return { set, read: events - others, others, whole };
}
