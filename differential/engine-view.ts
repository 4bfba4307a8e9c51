/**
 * What the engine shows, in the shape that the executor reads from /proc: files,
 * counters, VMAs and pages with their flags, as fs/proc/page.c and task_mmu.c
 * derive them.
 */
import { PG_UPTODATE } from "../src/engine/design/word/axis-flags.js";
import { T_ANON } from "../src/engine/design/word/axis-types.js";
import {
  MM_LOCKED_VM,
  MM_PGTABLES_BYTES,
  MM_PINNED_VM,
} from "../src/engine/layout/generated/offsets.js";
import {
  VM_EXEC,
  VM_HUGETLB,
  VM_READ,
  VM_SHARED,
  VM_WRITE,
} from "../src/engine/process/constants.js";
import type { Kernel } from "../src/engine/process/kernel.js";
import type { OpenFile } from "../src/engine/process/open-file.js";
import type { Process } from "../src/engine/process/process.js";
import { copiedBits } from "../src/observe/roundtrip/page-flags.js";
import type { Ref } from "../src/units.js";
import { BACKING_NONE, BACKING_OTHER, PAGE_BITS, type FileState, type Vma } from "./observe.js";
import { ARENAS, HUGE_PAGES, PAGE } from "./program.js";
import type { Shown, ShownPage, ShownProcess } from "./state-writer.js";

const NONE = 0 as Ref;
/** Pages of a test file that are looked at; as in executor/observe.c. */
const FILE_PAGES = 1024;
/** Bits of folio->mapping: anonymous; with the next one KSM. */
const MAPPING_ANON = 1;
const MAPPING_KSM = 3;
/** kpageflags bit → page bit, for flags that are copies; executor/frames.c has the same list. */
const COPIED: readonly (readonly [bit: number, shown: number])[] = [
  [2, PAGE_BITS.referenced],
  [3, PAGE_BITS.uptodate],
  [4, PAGE_BITS.dirty],
  [5, PAGE_BITS.lru],
  [6, PAGE_BITS.active],
  [13, PAGE_BITS.swapcache],
  [14, PAGE_BITS.swapbacked],
  [18, PAGE_BITS.unevictable],
  [33, PAGE_BITS.mlocked],
  [34, PAGE_BITS["anon-exclusive"]],
  [0, PAGE_BITS.locked],
  [8, PAGE_BITS.writeback],
  [9, PAGE_BITS.reclaim],
];

/** Everything that is compared, of the processes in the order of the map. */
export function showEngine(
  kernel: Kernel,
  files: readonly OpenFile[],
  processes: ReadonlyMap<number, Process>,
): Shown {
  const objects: Ref[] = [];
  return {
    files: files.map((file) => showFile(kernel, file)),
    pool:
      kernel.hugetlb.total === 0 && kernel.hugetlb.free === 0
        ? { free: 0, reserved: 0 }
        : { free: kernel.hugetlb.free, reserved: kernel.hugetlb.reserved },
    processes: [...processes].map(([number, process]) =>
      showProcess(kernel, files, objects, number, process),
    ),
  };
}

function showFile(kernel: Kernel, file: OpenFile): FileState {
  const { cache, folios } = kernel.base;
  const { design } = kernel.machine;
  const mapping = kernel.files.mappingOf(file.inode);
  const cached: [number, number][] = [];
  for (let page = 0; page < FILE_PAGES;) {
    const folio = cache.next(mapping, page, FILE_PAGES);
    if (folio === NONE) break;
    const first = folios.index(folio);
    // mincore tells of pages that hold what they should.
    if (!folios.test(folio, PG_UPTODATE)) {
      page = first + 1;
      continue;
    }
    const pages = 2 ** design.orderOf(kernel.base.core.pfnOf(folio));
    const run = cached.at(-1);
    if (run !== undefined && run[0] + run[1] === first) run[1] += pages;
    else cached.push([first, pages]);
    page = first + pages;
  }
  return { size: file.size, cached };
}

function showProcess(
  kernel: Kernel,
  files: readonly OpenFile[],
  objects: Ref[],
  number: number,
  process: Process,
): ShownProcess {
  const { w, vmas: areas } = kernel.base;
  const { anon, file, shmem } = process.rss;
  const vmas: Vma[] = [];
  const pages: ShownPage[] = [];
  let hugetlb = 0;
  for (let vma = areas.tree.first(process.mm); vma !== NONE; vma = areas.tree.next(vma)) {
    const [start, end] = [areas.tree.start(vma), areas.tree.end(vma)];
    const arena = arenaOf(start);
    if (arena === undefined) continue;
    const flags = areas.flags(vma);
    const permissions =
      (flags & VM_READ ? 1 : 0) |
      (flags & VM_WRITE ? 2 : 0) |
      (flags & VM_EXEC ? 4 : 0) |
      (flags & VM_SHARED ? 8 : 0);
    const backing = backingOf(kernel, files, objects, vma);
    const offset = backing === BACKING_NONE ? 0 : areas.pgoff(vma);
    vmas.push({ page: start, pages: end - start, permissions, backing, offset });
    const isHugetlb = (flags & VM_HUGETLB) !== 0;
    showPages(
      kernel,
      process,
      start,
      Math.min(end, arena.start / PAGE + arena.pages),
      isHugetlb,
      pages,
    );
    if (isHugetlb) hugetlb += hugetlbPages(process, start, end);
  }
  const tables = w.load32(process.mm, MM_PGTABLES_BYTES) / PAGE;
  const counters = [
    anon,
    file,
    shmem,
    hugetlb,
    w.load32(process.mm, MM_LOCKED_VM),
    w.load32(process.mm, MM_PINNED_VM),
    tables,
  ];
  return { number, counters, vmas, pages };
}

/** Pages of the huge pages that a hugetlb area has: whole ones, also beyond what is looked at. */
function hugetlbPages(process: Process, start: number, end: number): number {
  let pages = 0;
  for (let page = start; page < end; page += HUGE_PAGES)
    if (process.pagemap(page * PAGE).present) pages += HUGE_PAGES;
  return pages;
}

/** The arena that a page lies in. */
export function arenaOf(page: number): (typeof ARENAS)[number] | undefined {
  return ARENAS.find(({ start, pages }) => page >= start / PAGE && page < start / PAGE + pages);
}

function backingOf(kernel: Kernel, files: readonly OpenFile[], objects: Ref[], vma: Ref): number {
  const file = kernel.base.vmas.file(vma);
  if (file === NONE) return BACKING_NONE;
  const inode = kernel.files.inodeOf(kernel.base.vmas.mappingOfFile(file));
  const known = files.findIndex((one) => one.inode === inode);
  if (known >= 0) return known + 1;
  if (!objects.includes(inode)) objects.push(inode);
  return BACKING_OTHER + objects.indexOf(inode);
}

function showPages(
  kernel: Kernel,
  process: Process,
  start: number,
  end: number,
  hugetlb: boolean,
  pages: ShownPage[],
): void {
  const { tables } = kernel.base;
  for (let page = start; page < end; page++) {
    const entry = process.pagemap(page * PAGE);
    if (!entry.present && !entry.swapped) {
      // No table: on to where the next one begins.
      if (tables.pteTable(process.mm, page) === NONE)
        page = (Math.floor(page / HUGE_PAGES) + 1) * HUGE_PAGES - 1;
      continue;
    }
    const place =
      (entry.present ? PAGE_BITS.present : 0) |
      (entry.swapped ? PAGE_BITS.swap : 0) |
      (entry.file ? PAGE_BITS.file : 0) |
      (entry.exclusivelyMapped ? PAGE_BITS.exclusive : 0) |
      (entry.huge ? PAGE_BITS["huge-mapped"] : 0);
    pages.push(showFrame(kernel, page, place, entry.pfn, entry.zero, hugetlb));
  }
}

/** The frame of a page, as stable_page_flags in fs/proc/page.c tells it. */
function showFrame(
  kernel: Kernel,
  page: number,
  place: number,
  pfn: number,
  zero: boolean,
  hugetlb: boolean,
): ShownPage {
  if (pfn < 0) return { page, bits: place, frame: 0, head: 0, order: 0, mapCount: 0 };
  const { design } = kernel.machine;
  const order = design.orderOf(pfn);
  const first = order === 0 ? pfn : design.blockOf(pfn);
  let bits = place;
  if (order > 0) bits |= pfn === first ? PAGE_BITS.head : PAGE_BITS.tail;
  if (order > 0 && hugetlb) bits |= PAGE_BITS.hugetlb;
  else if (order > 0) bits |= PAGE_BITS.thp;
  if (zero) bits |= PAGE_BITS.zero;
  else bits |= folioBits(kernel, first);
  const mapCount = zero ? 0 : design.mapcountOf(pfn);
  return { page, bits, frame: pfn + 1, head: first + 1, order, mapCount };
}

function folioBits(kernel: Kernel, first: number): number {
  const { design } = kernel.machine;
  const mapping = design.mappingBitsOf(first);
  const anon = (mapping & MAPPING_ANON) !== 0 || design.typeOf(first) === T_ANON;
  let bits = anon ? PAGE_BITS.anon : 0;
  if ((mapping & MAPPING_KSM) === MAPPING_KSM) bits |= PAGE_BITS.ksm;
  const { lo, hi } = copiedBits(design.flagsOf(first) | design.pageFlagsOf(first));
  for (const [bit, shown] of COPIED) {
    if (shown === PAGE_BITS["anon-exclusive"] && !anon) continue;
    if (((bit < 32 ? lo >>> bit : hi >>> (bit - 32)) & 1) !== 0) bits |= shown;
  }
  return bits;
}
