/**
 * What was read of one machine: the pages as runs, and the kernel's own totals.
 *
 * A snapshot is the border between a real Linux and everything else: readers
 * (live /proc, folder, tar, captured file) make it, and it holds only what the
 * kernel said. Pages are kept as runs, the longest stretches of frames with
 * equal flags, map count and cgroup, in columns: a machine of a terabyte then
 * costs what its variety costs and not what its size costs.
 *
 * Facts: Documentation/admin-guide/mm/pagemap.rst, memdesc-facts §7.
 */
import type { Bytes, NodeId, PageCount, Pfn } from "../units.js";

/** Struct of arrays; run i covers frames `start[i]` … `start[i + 1] − 1`. */
export interface PageRuns {
  readonly length: number;
  /** `length + 1` entries; the last one is the number of frames. */
  readonly start: Uint32Array;
  /** Index into {@link Snapshot.flagWords}. */
  readonly flags: Uint16Array;
  /** kpagecount of each frame of the run; all zero where the file is missing. */
  readonly mapcount: Uint32Array;
  /** Index into {@link Snapshot.cgroups}. */
  readonly cgroup: Uint16Array;
}

/** The distinct 64-bit words of kpageflags, split into halves. */
export interface FlagWords {
  readonly length: number;
  readonly lo: Uint32Array;
  readonly hi: Uint32Array;
}

/** One zone as /proc/zoneinfo tells it; counts are pages. */
export interface ZoneInfo {
  readonly node: NodeId;
  readonly name: string;
  readonly start: Pfn;
  readonly spanned: PageCount;
  readonly present: PageCount;
  readonly managed: PageCount;
  readonly free: PageCount;
  readonly min: PageCount;
  readonly low: PageCount;
  readonly high: PageCount;
  /** lowmem_reserve, one entry per zone type. */
  readonly protection: readonly number[];
  readonly cpus: readonly {
    readonly count: number;
    readonly high: number;
    readonly batch: number;
  }[];
}

/** Frames first … end − 1. */
export interface PfnRange {
  readonly start: Pfn;
  readonly end: Pfn;
}

/** An online memory section of /sys/devices/system/node, with its node. */
export interface NodeRange extends PfnRange {
  readonly node: NodeId;
}

/** One line of buddyinfo; `free[k]` blocks of order k. */
export interface BuddyInfo {
  readonly node: NodeId;
  readonly zone: string;
  readonly free: readonly number[];
}

/** One line of pagetypeinfo's free lists. */
export interface PageTypeInfo {
  readonly node: NodeId;
  readonly zone: string;
  readonly migrateType: string;
  readonly free: readonly number[];
  /** Pageblocks of this type in this zone, where the file says. */
  readonly blocks: number | null;
}

/** One line of slabinfo. */
export interface SlabInfo {
  readonly name: string;
  readonly activeObjects: number;
  readonly objects: number;
  readonly objectSize: number;
  readonly objectsPerSlab: number;
  readonly pagesPerSlab: number;
  readonly slabs: number;
}

/** Pages that vmalloc areas hold, from vmallocinfo; no addresses are kept. */
export interface VmallocInfo {
  readonly areas: number;
  readonly pages: PageCount;
}

/** One hugetlb pool of one node (or of the machine, node null). */
export interface HugePool {
  readonly node: NodeId | null;
  readonly size: Bytes;
  readonly total: number;
  readonly free: number;
  readonly surplus: number;
}

/** Something the reader wants said by name: a missing file, an unknown bit. */
export interface Note {
  /** What it is about: a file, or `kpageflags bit 27`. */
  readonly subject: string;
  readonly text: string;
}

export interface Snapshot {
  /** What to call it on the screen: a path, `this machine`, … */
  readonly label: string;
  readonly origin: "live" | "folder" | "tar" | "capture" | "bundled";
  /** Kernel release such as `6.18.44`, null where no file says. */
  readonly kernel: string | null;
  /** Bytes of a base page; 4096 where it is not said. Only a what-if says otherwise. */
  readonly pageSize?: Bytes;
  /** Frames covered by kpageflags, holes included. */
  readonly frames: PageCount;
  readonly flagWords: FlagWords;
  /** Distinct kpagecgroup values (memcg inode numbers); entry 0 is 0. */
  readonly cgroups: readonly number[];
  readonly runs: PageRuns;
  /** False where kpagecount was not there: map counts are then unknown, not 0. */
  readonly hasMapcount: boolean;
  readonly hasCgroup: boolean;
  readonly zones: readonly ZoneInfo[];
  /** "System RAM" of iomem; null where unreadable or all zero (no CAP_SYS_ADMIN). */
  readonly ram: readonly PfnRange[] | null;
  /** Online memory blocks by node; null where /sys was not there. */
  readonly nodeRanges: readonly NodeRange[] | null;
  /** CPUs online, at least 1. */
  readonly cpus: number;
  readonly vmstat: Readonly<Record<string, number>> | null;
  /** Bytes by field name (values without kB are kept as they are). */
  readonly meminfo: Readonly<Record<string, number>> | null;
  readonly buddyinfo: readonly BuddyInfo[] | null;
  readonly pagetypeinfo: readonly PageTypeInfo[] | null;
  readonly slabinfo: readonly SlabInfo[] | null;
  readonly vmalloc: VmallocInfo | null;
  readonly hugePools: readonly HugePool[] | null;
  /** sizeof(struct X) by name from BTF (`page`, `folio`, `slab`, …). */
  readonly structSizes: Readonly<Record<string, number>> | null;
  readonly notes: readonly Note[];
}
