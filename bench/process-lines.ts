/**
 * Cache lines per operation of memory management for processes: the engine's own
 * code on counted words, warm, one page at a time. The lines of page words,
 * descriptors, page tables, VMAs, lists and counters that it reads or writes; a
 * page's content is none of them.
 *
 * Single operations are measured on many pages and the middle one is shown, so
 * that the few which also take a slab or a batch of pages do not count. What
 * works on a range (fork, unmap) is the whole range's lines over its pages.
 */
import { DEFAULT_DESIGNS, parseDesign } from "../src/engine/design/presets.js";
import {
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../src/engine/process/constants.js";
import { FOLL_PIN, FOLL_WRITE } from "../src/engine/process/gup.js";
import { Kernel } from "../src/engine/process/kernel.js";
import { CountedWords } from "../src/engine/words/counted.js";
import { ref } from "../src/units.js";
import { median, note, short } from "./print.js";

const PAGE = 4096;
const PAGES = 1024;
const RW = PROT_READ | PROT_WRITE;
const PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS;
/** Columns in the order of the table. */
const COLUMNS = ["fault", "cow", "pin", "migrate", "file", "huge", "fork", "unmap"];
const WIDTH = 8;

/** Lines touched by each operation, in the order of `COLUMNS`. */
export function processLines(design: string): number[] {
  const counted: CountedWords[] = [];
  const kernel = Kernel.boot({ memory: "256MiB", cpus: 2 }, parseDesign(design), (size) => {
    counted.push(new CountedWords(size));
    return counted[0];
  });
  const touched = (does: () => void): number => counted[0].measure(does).touched;
  /** The middle one of 101 pages, behind some that warm lists and slabs up. */
  const each = (does: (page: number) => void): number => {
    for (let i = 0; i < 101; i++) does(i);
    return median(Array.from({ length: 101 }, (_, i) => touched(() => does(101 + i))));
  };
  const group = kernel.createMemcg();
  const file = kernel.createFile("disk", PAGES * 16 * PAGE);
  for (let i = 0; i < PAGES * 16; i += 64) file.read(i * PAGE, 64 * PAGE);
  const p = kernel.createProcess(group);
  const map = (pages: number): number => p.mmap({ length: pages * PAGE, prot: RW, flags: PRIVATE });
  const at = map(PAGES);
  const vpn = at / PAGE;
  const fault = each((i) => void kernel.faults.handle(p.mm, vpn + i, true));
  for (let i = 0; i < PAGES; i++) kernel.faults.handle(p.mm, vpn + i, true);
  const one = { pfns: new Int32Array(1), carried: new Int32Array(1) };
  const pin = each((i) => {
    kernel.gup.getFast(p.mm, vpn + i, 1, FOLL_PIN | FOLL_WRITE, one);
    kernel.gup.release(one.pfns[0], ref(0), true, false);
  });
  const frames = Array.from({ length: 202 }, (_, i) => p.pagemap(at + i * PAGE).pfn);
  const migrate = each((i) => void kernel.migration.move(frames[i]));
  p.fork().exit();
  let child = p;
  const fork = touched(() => void (child = p.fork())) / PAGES;
  const cow = each((i) => void kernel.faults.handle(child.mm, vpn + i, true));
  child.exit();
  const unmap = touched(() => p.munmap(at, PAGES * PAGE)) / PAGES;
  const mapped = p.mmap({ length: PAGES * 16 * PAGE, prot: PROT_READ, flags: MAP_SHARED, file });
  const around = each((i) => void kernel.faults.handle(p.mm, mapped / PAGE + i * 16, false));
  const huge = map(3 * 512);
  p.madvise(huge, 3 * 512 * PAGE, MADV_HUGEPAGE);
  const aligned = Math.ceil(huge / PAGE / 512) * 512;
  kernel.faults.handle(p.mm, aligned, true);
  const hugeFault = touched(() => void kernel.faults.handle(p.mm, aligned + 512, true));
  p.exit();
  return [fault, cow, pin, migrate, around, hugeFault, fork, unmap];
}

/** Prints the table. */
export function printProcessLines(): void {
  console.log("\nCACHE LINES of 64 bytes touched per operation on processes");
  console.log(`  ${"".padEnd(10)}${COLUMNS.map((c) => c.padStart(WIDTH)).join("")}`);
  for (const design of DEFAULT_DESIGNS) {
    const cells = processLines(design).map((n) =>
      (Number.isInteger(n) ? String(n) : short(n)).padStart(WIDTH),
    );
    console.log(`  ${design.padEnd(10)}${cells.join("")}`);
  }
  note(
    "fault: anonymous write fault, charged; cow: copy-on-write; pin: GUP-fast pin and unpin; migrate: one page; file: read fault that maps 16 pages of the cache; huge: fault of 2 MiB; fork, unmap: of 1,024 pages, per page.",
  );
}
