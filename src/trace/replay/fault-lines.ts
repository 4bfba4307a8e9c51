/**
 * Cache lines of one page fault, in each design: measured on a small process of the
 * engine, because a trace says that a fault happened and not what it touched.
 *
 * Lines of page words, descriptors, page tables, VMAs, lists and counters; the middle
 * one of many faults, so that the few which also take a slab or a batch of pages do
 * not count.
 */
import type { Design } from "../../engine/design/presets.js";
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_READ,
  PROT_WRITE,
} from "../../engine/process/constants.js";
import { Kernel } from "../../engine/process/kernel.js";
import { SampledWords } from "../../engine/words/sampled.js";

const PAGE = 4096;
/** Faults that warm lists and slabs up, and as many that are measured. */
const FAULTS = 101;
/** Pages that one read fault maps around it: fault_around_bytes. */
const AROUND = 16;

export interface FaultLines {
  /** Anonymous write fault of one page, charged to a cgroup. */
  readonly anon: number;
  /** Read fault that maps 16 pages of the page cache. */
  readonly file: number;
}

export function faultLines(design: Design): FaultLines {
  let words: SampledWords | null = null;
  const kernel = Kernel.boot({ memory: "64MiB", cpus: 2 }, design, (size) => {
    words = new SampledWords(size);
    return words;
  });
  const touched = (does: () => void): number => {
    words?.start();
    does();
    return words?.stop().touched ?? 0;
  };
  const middle = (does: (i: number) => void): number => {
    for (let i = 0; i < FAULTS; i++) does(i);
    const all = Array.from({ length: FAULTS }, (_, i) => touched(() => does(FAULTS + i)));
    return all.toSorted((a, b) => a - b)[FAULTS >> 1];
  };
  const pages = 2 * FAULTS;
  const p = kernel.createProcess(kernel.createMemcg());
  const at = p.mmap({
    length: pages * PAGE,
    prot: PROT_READ | PROT_WRITE,
    flags: MAP_PRIVATE | MAP_ANONYMOUS,
  });
  const anon = middle((i) => void kernel.faults.handle(p.mm, at / PAGE + i, true));
  const length = pages * AROUND * PAGE;
  const file = kernel.createFile("disk", length);
  for (let i = 0; i < pages * AROUND; i += 64) file.read(i * PAGE, 64 * PAGE);
  const mapped = p.mmap({ length, prot: PROT_READ, flags: MAP_SHARED, file });
  const read = middle((i) => void kernel.faults.handle(p.mm, mapped / PAGE + i * AROUND, false));
  p.exit();
  return { anon, file: read };
}
