/**
 * Cache lines per operation: the engine's own code on counted words. Not a time
 * but what times on real hardware follow from: distinct 64-byte lines that one
 * operation reads or writes, and of those how many it writes.
 */
import { DEFAULT_DESIGNS } from "../src/engine/design/presets.js";
import { T_ANON } from "../src/engine/design/word/axis-types.js";
import type { Machine } from "../src/engine/machine.js";
import { putFolioRef, tryGetFolio } from "../src/engine/pages/lookup.js";
import { CountedWords, type LineCount } from "../src/engine/words/counted.js";
import { bootMachine } from "./machines.js";
import { note, progress } from "./print.js";
import { printProcessLines } from "./process-lines.js";
import type { Section } from "./section.js";

const WARM = 200;
const HUGE = 9;

/** Operations in the order of the table's columns. */
const COLUMNS = ["alloc", "free", "folio", "put", "lookup", "alloc 9", "free 9"];

/** A column; order 9 has larger numbers. */
const cell = (text: string, column: number): string => text.padStart(column < 5 ? 8 : 11);

/** Pages are held around each operation so that lists and slabs are neither empty nor full. */
function measure(m: Machine): LineCount[] {
  const { w } = m;
  if (!(w instanceof CountedWords)) throw new Error("the machine's words do not count");
  const pages = Array.from({ length: WARM }, () => m.allocPages(0));
  const folios = Array.from({ length: WARM }, () => m.allocFolio(0, T_ANON));
  const huge = Array.from({ length: 4 }, () => m.allocPages(HUGE));
  for (let i = 0; i < WARM; i += 3) m.freePages(pages[i], 0);
  for (let i = 0; i < WARM; i += 3) m.putFolio(folios[i]);
  m.freePages(huge[0], HUGE);
  m.freePages(huge[2], HUGE);
  let pfn = 0;
  const alloc = w.measure(() => void (pfn = m.allocPages(0)));
  const free = w.measure(() => m.freePages(pfn, 0));
  const folio = w.measure(() => void (pfn = m.allocFolio(0, T_ANON)));
  const put = w.measure(() => m.putFolio(pfn));
  let ref = tryGetFolio(m, 0, folios[1]);
  putFolioRef(m, ref);
  const lookup = w.measure(() => void (ref = tryGetFolio(m, 0, folios[1])));
  putFolioRef(m, ref);
  const alloc9 = w.measure(() => void (pfn = m.allocPages(HUGE)));
  const free9 = w.measure(() => m.freePages(pfn, HUGE));
  return [alloc, free, folio, put, lookup, alloc9, free9];
}

export const lines: Section = {
  name: "lines",
  run() {
    progress("counting cache lines");
    console.log("\nCACHE LINES of 64 bytes per operation: touched (of them written)");
    console.log(`  ${"".padEnd(11)}${COLUMNS.map(cell).join("")}`);
    for (const design of DEFAULT_DESIGNS) {
      const m = bootMachine(1, design, (size) => new CountedWords(size));
      const row = measure(m).map((c, i) => cell(`${c.touched} (${c.written})`, i));
      console.log(`  ${design.padEnd(11)}${row.join("")}`);
    }
    note(
      "alloc, free: allocPages(0), freePages, lists and slabs neither empty nor full; folio, put: allocFolio(0), putFolio of the last reference; lookup: tryGetFolio; 9: order 9. The allocator's own lines (zone, per-CPU list, cache) are counted too.",
    );
    printProcessLines();
    return Promise.resolve();
  },
};
