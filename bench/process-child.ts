/**
 * One design's series of `process` in a process of its own: warms up, then does
 * each operation on many pages, round by round, and prints nanoseconds per page as
 * JSON. Arguments: design, rounds, pages.
 */
import { parseDesign } from "../src/engine/design/presets.js";
import { FOLL_PIN, FOLL_WRITE } from "../src/engine/process/gup.js";
import {
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../src/engine/process/constants.js";
import { Kernel } from "../src/engine/process/kernel.js";
import { widenInlining } from "../src/scenario/jit.node.js";
import { ref } from "../src/units.js";

const PAGE = 4096;
const RW = PROT_READ | PROT_WRITE;

widenInlining();
const [design = "", rounds, count] = process.argv.slice(2);
const pages = Number(count);
const kernel = Kernel.boot({ memory: "2GiB", cpus: 2 }, parseDesign(design));
const group = kernel.createMemcg();
const series: Record<string, number[]> = {};
const file = kernel.createFile("disk", pages * PAGE);
for (let i = 0; i < pages; i += 64) file.read(i * PAGE, 64 * PAGE);

/** Times one operation on all pages of a round. */
function time(name: string, per: number, does: () => void): void {
  const start = performance.now();
  does();
  (series[name] ??= []).push(((performance.now() - start) * 1e6) / per);
}

function round(): void {
  const p = kernel.createProcess(group);
  const at = p.mmap({ length: pages * PAGE, prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  const vpn = at / PAGE;
  const { faults, gup, migration } = kernel;
  time("anonymous fault", pages, () => {
    for (let i = 0; i < pages; i++) faults.handle(p.mm, vpn + i, true);
  });
  const one = { pfns: new Int32Array(1), carried: new Int32Array(1) };
  time("GUP-fast pin + unpin", pages, () => {
    for (let i = 0; i < pages; i++) {
      gup.getFast(p.mm, vpn + i, 1, FOLL_PIN | FOLL_WRITE, one);
      gup.release(one.pfns[0], ref(0), true, false);
    }
  });
  let child = p.fork();
  child.exit();
  time("fork", pages, () => void (child = p.fork()));
  time("copy-on-write fault", pages, () => {
    for (let i = 0; i < pages; i++) faults.handle(child.mm, vpn + i, true);
  });
  time("exit", pages, () => child.exit());
  const some = Math.min(pages, 4096);
  const frames = Array.from({ length: some }, (_, i) => p.pagemap(at + i * PAGE).pfn);
  time("migration", some, () => {
    for (const pfn of frames) migration.move(pfn);
  });
  time("unmap", pages, () => p.munmap(at, pages * PAGE));
  const mapped = p.mmap({ length: pages * PAGE, prot: PROT_READ, flags: MAP_SHARED, file });
  time("file read fault, 16 around", pages, () => {
    for (let i = 0; i < pages; i += 16) faults.handle(p.mm, mapped / PAGE + i, false);
  });
  time("unmap of a file", pages, () => p.munmap(mapped, pages * PAGE));
  const huge = p.mmap({ length: pages * PAGE, prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  p.madvise(huge, pages * PAGE, MADV_HUGEPAGE);
  time("huge fault, per 4 KiB", pages, () => {
    for (let i = 0; i < pages; i += 512) faults.handle(p.mm, huge / PAGE + i, true);
  });
  time("unmap of huge, per 4 KiB", pages, () => p.munmap(huge, pages * PAGE));
  p.exit();
}

for (let i = 0; i < 3; i++) round();
for (const values of Object.values(series)) values.length = 0;
for (let i = 0; i < Number(rounds); i++) round();
console.log(JSON.stringify(series));
