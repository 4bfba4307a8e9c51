/**
 * Every rule of the process layer fires when it is broken: a kernel in order is
 * broken in one word, and the rule that the word belongs to reports it with the
 * page, the step and who holds it.
 */
import { describe, expect, test } from "vitest";
import type { Ref } from "../../../src/units.js";
import type { RuleViolation } from "../../../src/engine/errors.js";
import {
  ANON_VMA_NUM_ACTIVE_VMAS,
  INODE_I_MMAP,
  INODE_NRPAGES,
  FILE_F_REF,
  LRUVEC_SIZES,
  MEMCG_USAGE,
  MM_PGTABLES_BYTES,
  MM_RSS_ANON,
  MM_TOTAL_VM,
  XA_NODE_SHIFT,
  INODE_XA_HEAD,
} from "../../../src/engine/layout/generated/offsets.js";
import { T_FILE } from "../../../src/engine/design/word/axis-types.js";
import {
  MADV_PAGEOUT,
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
} from "../../../src/engine/process/constants.js";
import { S_DEFERRED_COUNT, S_HUGETLB_RESERVED } from "../../../src/engine/process/core.js";
import {
  PTE_SPECIAL,
  PTE_WRITE,
  pteHigh,
  pteLow,
  SWP_MIGRATION_READ,
  swapHigh,
  swapLow,
} from "../../../src/engine/process/entry.js";
import type { Kernel } from "../../../src/engine/process/kernel.js";
import { MMU_NOTIFY_CLEAR } from "../../../src/engine/process/notifier/events.js";
import type { OpenFile } from "../../../src/engine/process/open-file.js";
import { pteAt } from "../../../src/engine/process/page-tables.js";
import type { Process } from "../../../src/engine/process/process.js";
import {
  BELOW_ZERO,
  COUNTLESS,
  FREED_UNHELD,
  PFNMAP_PINNED,
} from "../../../src/engine/sanitizer/process/events.js";
import { NOTHING_IS_LEFT } from "../../../src/engine/sanitizer/process/leaks.js";
import { KernelViolation } from "../../../src/engine/sanitizer/process/rule.js";
import {
  CONTENT_LOST,
  inspectKernel,
  KERNEL_RULES,
  leaksOf,
} from "../../../src/engine/sanitizer/process/sanitizer.js";
import { refOfAddress } from "../../../src/engine/words/words.js";
import { bootKernel, PROCESS_DESIGNS, told } from "./kernels.js";

const PAGE = 4096;
const STEP = 42;

interface Scene {
  readonly kernel: Kernel;
  readonly process: Process;
  readonly child: Process;
  readonly file: OpenFile;
  readonly memcg: Ref;
  /** A written page, one that child and parent share, a large folio, a file's page. */
  readonly own: number;
  readonly shared: number;
  readonly large: number;
  readonly mapped: number;
}

/** A kernel in which there is one of everything. */
function scene(design: string): Scene {
  const policy = { thp: "madvise", thpOrders: { 2: "always" } } as const;
  const kernel = bootKernel({ memory: "32MiB", swap: "1MiB", policy }, design);
  kernel.setHugePages(1);
  const memcg = kernel.createMemcg(4096);
  const process = kernel.createProcess(memcg);
  const anon = (length: number): number =>
    process.mmap({ length, prot: 3, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  const shared = anon(PAGE);
  // Four pages that lie as a folio of order 2 must.
  const large = Math.ceil(anon(8 * PAGE) / (4 * PAGE)) * 4 * PAGE;
  process.write(shared, Uint8Array.of(1));
  process.write(large, Uint8Array.of(2));
  const paged = anon(PAGE);
  process.write(paged, Uint8Array.of(3));
  process.madvise(paged, PAGE, MADV_PAGEOUT);
  const file = kernel.createFile("tmpfs", 8 * PAGE);
  file.write(0, Uint8Array.of(4));
  file.write(5 * PAGE, Uint8Array.of(4));
  const mapped = process.mmap({ length: 8 * PAGE, prot: 3, flags: MAP_SHARED, file });
  process.touch(mapped, "write");
  const huge = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;
  process.touch(process.mmap({ length: 512 * PAGE, prot: 3, flags: huge }), "write");
  const child = process.fork();
  const own = anon(PAGE);
  process.write(own, Uint8Array.of(5));
  kernel.base.core.step = STEP;
  return { kernel, process, child, file, memcg, own, shared, large, mapped };
}

const frameAt = (p: Process, addr: number): number => p.pagemap(addr).pfn;
const folioAt = ({ kernel, process }: Scene, addr: number): Ref =>
  kernel.base.folios.ofPage(frameAt(process, addr));

/** Table and place of the entry for an address. */
function entryOf({ kernel, process }: Scene, addr: number): { table: Ref; off: number } {
  const vpn = addr / PAGE;
  return { table: kernel.base.tables.pteTable(process.mm, vpn), off: pteAt(vpn) };
}

/** Changes one entry. */
function setEntry(s: Scene, addr: number, lo: (was: number) => number, hi?: number): void {
  const { w } = s.kernel.base;
  const { table, off } = entryOf(s, addr);
  const was = w.load64(table, off);
  const high = w.hi;
  w.store64(table, off, lo(was), hi ?? high);
}

const point = (s: Scene, addr: number, pfn: number): void =>
  setEntry(s, addr, (was) => pteLow(pfn, was & 0xfff), pteHigh(pfn));

const bump = (s: Scene, ref: Ref, off: number, n = 1): void =>
  void s.kernel.base.w.add32(ref, off, n);

interface Break {
  readonly design?: string;
  readonly break: (s: Scene) => void;
  /** Address of the page that must be named, where one page is meant. */
  readonly page?: (s: Scene) => number;
  /** Who must be named. */
  readonly holder: (s: Scene) => string;
}

const inProcess = (s: Scene): string => `process ${s.process.pid}`;
const at =
  (addr: (s: Scene) => number) =>
  (s: Scene): number =>
    frameAt(s.process, addr(s));

const BREAKS: Record<string, Break> = {
  "VMAs are in order": {
    break: (s) => bump(s, s.process.mm, MM_TOTAL_VM),
    holder: inProcess,
  },
  "page tables are needed": {
    break: (s) => bump(s, s.process.mm, MM_PGTABLES_BYTES, 4096),
    holder: inProcess,
  },
  "entries lie in VMAs": {
    break: (s) => {
      const { vmas } = s.kernel.base;
      const vma = vmas.tree.lookup(s.process.mm, s.own / PAGE);
      vmas.setFlags(vma, vmas.flags(vma) & ~2);
    },
    page: at((s) => s.own),
    holder: (s) => `${inProcess(s)} at 0x${s.own.toString(16)}`,
  },
  "mapped pages are folios": {
    // The entry leads to a page table.
    break: (s) => point(s, s.own, s.kernel.machine.heap.frameOf(entryOf(s, s.own).table)),
    page: (s) => s.kernel.machine.heap.frameOf(entryOf(s, s.own).table),
    holder: (s) => `${inProcess(s)} at 0x${s.own.toString(16)}`,
  },
  "named folios live": {
    // A folio of the file is freed, its cache slot stays.
    break: ({ kernel, file }) => {
      const folio = kernel.base.cache.lookup(kernel.files.mappingOf(file.inode), 5);
      kernel.base.folios.lruDel(folio, 0);
      kernel.machine.freeTyped(kernel.base.core.pfnOf(folio));
    },
    holder: () => "page 5",
  },
  "references are above zero": {
    break: (s) => {
      const folio = folioAt(s, s.own);
      s.kernel.base.w.store32(folio, s.kernel.base.core.layout.refcount, 0);
    },
    page: at((s) => s.own),
    holder: inProcess,
  },
  "folios name live objects": {
    break: (s) => s.kernel.base.folios.setMapping(folioAt(s, s.own), 4096 as Ref, 1),
    page: at((s) => s.own),
    holder: inProcess,
  },
  "folios lie in one zone": {
    // The zone ends in the middle of the large folio.
    break: (s) => {
      const runs = s.kernel.machine.zones.runs as { start: number; end: number; zone: number }[];
      const pfn = frameAt(s.process, s.large);
      runs.splice(1, 0, { start: pfn + 2, end: runs[0].end, zone: 1 });
    },
    page: at((s) => s.large),
    holder: inProcess,
  },
  "special entries have no folio": {
    break: (s) => setEntry(s, s.own, (lo) => lo | PTE_SPECIAL),
    page: at((s) => s.own),
    holder: inProcess,
  },
  "references are explained": {
    break: (s) => bump(s, folioAt(s, s.own), s.kernel.base.core.layout.refcount),
    page: at((s) => s.own),
    holder: inProcess,
  },
  "pins are explained": {
    break: (s) => {
      const { core, w } = s.kernel.base;
      w.add32(core.rest(folioAt(s, s.large)), core.layout.pincount, 1);
    },
    design: "today",
    page: at((s) => s.large),
    holder: inProcess,
  },
  "map counts match the page tables": {
    break: (s) => bump(s, folioAt(s, s.own), s.kernel.base.core.layout.mapcount),
    page: at((s) => s.own),
    holder: inProcess,
  },
  "shared folios say so": {
    break: (s) => {
      const { core, w } = s.kernel.base;
      const rest = core.rest(folioAt(s, s.large));
      w.store32(rest, core.layout.mmIds, w.load32(rest, core.layout.mmIds) & ~(1 << 30));
    },
    page: at((s) => s.large),
    holder: (s) => `process ${s.child.pid} at 0x${s.large.toString(16)}`,
  },
  "exclusive pages are mapped once": {
    break: (s) => s.kernel.machine.design.setExclusive(frameAt(s.process, s.shared), true),
    page: at((s) => s.shared),
    holder: (s) => `process ${s.child.pid} at 0x${s.shared.toString(16)}`,
  },
  "writable private pages are exclusive": {
    break: (s) => setEntry(s, s.shared, (lo) => lo | PTE_WRITE),
    page: at((s) => s.shared),
    holder: inProcess,
  },
  "LRU lists are whole": {
    break: (s) => bump(s, s.kernel.base.core.lruvec(0), LRUVEC_SIZES),
    holder: () => "LRU list inactive anon of node 0",
  },
  "the deferred queue is whole": {
    break: (s) => bump(s, s.kernel.base.core.state, S_DEFERRED_COUNT),
    holder: () => "the deferred split queue",
  },
  "RSS is what is mapped": {
    break: (s) => bump(s, s.process.mm, MM_RSS_ANON),
    holder: inProcess,
  },
  "anon_vmas are whole": {
    break: (s) => bump(s, anonVmaOf(s), ANON_VMA_NUM_ACTIVE_VMAS),
    holder: (s) => `anon_vma ${anonVmaOf(s)}`,
  },
  "files know their VMAs": {
    break: (s) => s.kernel.base.w.store64(s.file.inode, INODE_I_MMAP, 0, 0),
    holder: () => "file ",
  },
  "the reverse map finds every mapping": {
    break: (s) => {
      const { folios } = s.kernel.base;
      const folio = folioAt(s, s.own);
      folios.setIndex(folio, folios.index(folio) + 1);
    },
    page: at((s) => s.own),
    holder: (s) => `${inProcess(s)} at 0x${s.own.toString(16)}`,
  },
  "the page cache matches its folios": {
    break: (s) => bump(s, s.file.inode, INODE_NRPAGES),
    holder: () => "file ",
  },
  "page cache trees are whole": {
    break: (s) => {
      const { w } = s.kernel.base;
      const lo = w.load64(s.file.inode, INODE_XA_HEAD);
      bump(s, refOfAddress(lo, w.hi), XA_NODE_SHIFT, 1 << 16);
    },
    holder: () => "file ",
  },
  "files are held": {
    break: (s) => bump(s, s.file.file, FILE_F_REF, 2),
    holder: (s) => `file ${s.file.file}`,
  },
  "swap slots are counted": {
    break: (s) => s.kernel.base.swap.duplicate(0),
    holder: () => "swap slot 0",
  },
  "the hugetlb pool adds up": {
    break: (s) => bump(s, s.kernel.base.core.state, S_HUGETLB_RESERVED, -1),
    holder: () => "the hugetlb pool",
  },
  "cgroups count their folios": {
    break: (s) => bump(s, s.memcg, MEMCG_USAGE),
    holder: (s) => `cgroup ${s.memcg}`,
  },
  "folios are held by somebody": {
    break: (s) => void s.kernel.base.folios.alloc(0, T_FILE, 0 as Ref),
    design: "memdesc8",
    holder: () => "nobody",
  },
  "nothing is on its way between operations": {
    break: (s) => {
      const pfn = frameAt(s.process, s.mapped);
      setEntry(s, s.own, () => swapLow(pfn, false), swapHigh(SWP_MIGRATION_READ, pfn));
    },
    page: at((s) => s.mapped),
    holder: inProcess,
  },
  "notifiers are at rest": {
    // A change is told of, and never ends.
    break: ({ kernel, process, own }) => {
      const { notifiers } = kernel.base;
      notifiers.insert(process.mm, own / PAGE, 1, { invalidate: () => true });
      notifiers.start(process.mm, own / PAGE, own / PAGE + 1, MMU_NOTIFY_CLEAR);
    },
    holder: inProcess,
  },
  "userfaultfds know their memory": {
    // Closed behind the back of the memory that it heard of.
    break: ({ kernel, process, own }) => {
      process.userfaultfd().register(own, PAGE, { missing: true });
      kernel.userFaults.exit(process.mm);
    },
    holder: inProcess,
  },
  // Seen only when they happen.
  [BELOW_ZERO]: {
    break: (s) => s.kernel.base.folios.put(folioAt(s, s.own), 2),
    page: at((s) => s.own),
    holder: inProcess,
  },
  [FREED_UNHELD]: {
    break: (s) => s.kernel.base.folios.put(folioAt(s, s.own)),
    page: at((s) => s.own),
    holder: inProcess,
  },
  [COUNTLESS]: {
    // A page table is unpinned.
    break: (s) => {
      const pfn = s.kernel.machine.heap.frameOf(entryOf(s, s.own).table);
      s.kernel.gup.release(pfn, 0 as Ref, true, false);
    },
    page: (s) => s.kernel.machine.heap.frameOf(entryOf(s, s.own).table),
    holder: () => "GUP",
  },
  [PFNMAP_PINNED]: {
    // A driver's page is pinned as if it were a folio's.
    break: (s) => {
      const { machine, base } = s.kernel;
      base.core.watch?.pinned(machine.heap.frameOf(entryOf(s, s.own).table), false);
    },
    page: (s) => s.kernel.machine.heap.frameOf(entryOf(s, s.own).table),
    holder: () => "GUP",
  },
  [CONTENT_LOST]: {
    break: (s) => s.kernel.base.core.content.clear(frameAt(s.process, s.own)),
    page: at((s) => s.own),
    holder: (s) => `${inProcess(s)} at 0x${s.own.toString(16)}`,
  },
};

function anonVmaOf(s: Scene): Ref {
  const { vmas, anonVmas } = s.kernel.base;
  return anonVmas.of(vmas.tree.lookup(s.process.mm, s.own / PAGE));
}

const RULES = [
  ...KERNEL_RULES.map((r) => r.name),
  BELOW_ZERO,
  FREED_UNHELD,
  COUNTLESS,
  PFNMAP_PINNED,
  CONTENT_LOST,
];

test("every rule has a break", () => {
  expect(Object.keys(BREAKS).toSorted()).toEqual(RULES.toSorted());
});

test.each(PROCESS_DESIGNS)("%s: a kernel in order breaks none", (design) => {
  expect(told(inspectKernel(scene(design).kernel))).toEqual([]);
});

const of = (found: readonly RuleViolation[], rule: string): KernelViolation[] =>
  found.filter((v): v is KernelViolation => v instanceof KernelViolation && v.rule === rule);

describe.each(RULES)("%s", (rule) => {
  const broken = BREAKS[rule];
  test("fires when broken, and names page, step and holder", () => {
    const s = scene(broken.design ?? "page32");
    expect(told(inspectKernel(s.kernel))).toEqual([]);
    const page = broken.page?.(s);
    const holder = broken.holder(s);
    broken.break(s);
    const found = of(inspectKernel(s.kernel), rule);
    expect(found.map((v) => v.rule)).toContain(rule);
    expect(found.map((v) => v.step)).toContain(STEP);
    expect(found.map((v) => v.holder).join("; ")).toContain(holder);
    expect(page === undefined || found.some((v) => v.pfn === page)).toBe(true);
  });
});

test(`${NOTHING_IS_LEFT.name}: what was forgotten is named`, () => {
  const { kernel, file } = scene("memdesc16");
  kernel.exitAll();
  file.close();
  // Its name is left, and with it its pages.
  const found = leaksOf(kernel).map((v) => v.message);
  expect(found.some((m) => m.includes("objects of inode are left"))).toBe(true);
  expect(found.some((m) => m.includes("a folio of order 0 is left (held by file"))).toBe(true);
  file.unlink();
  const rest = leaksOf(kernel).map((v) => v.message);
  expect(rest).toEqual([expect.stringContaining("1 objects of mem_cgroup are left")]);
});
