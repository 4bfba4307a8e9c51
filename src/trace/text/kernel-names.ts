/**
 * Numbers that text shows by name, and which number a name was in which kernel.
 *
 * The kernel prints gfp flags, page counters and results by tables that it has in its
 * sources; the bits moved and names came and went between releases. Text says seldom
 * which kernel it is of: then the table of 6.18 is taken, and a note says so.
 *
 * Facts: `print fmt` of the format files of 6.1, 6.12 and 6.18
 * (kmem/mm_page_alloc, kmem/rss_stat, migrate/mm_migrate_pages,
 * huge_memory/mm_khugepaged_scan_pmd and mm_collapse_huge_page) and
 * include/trace/events/vmscan.h. For 5.15 the tables of 6.1 are taken: its gfp bits are
 * the same; of its scan results, only the numbers may differ.
 */

/** Names and their numbers of one kernel. */
export interface KernelNames {
  /** The kernel whose tables these are. */
  readonly release: string;
  readonly gfp: ReadonlyMap<string, number>;
  readonly member: ReadonlyMap<string, number>;
  readonly reason: ReadonlyMap<string, number>;
  readonly scan: ReadonlyMap<string, number>;
  readonly reclaim: ReadonlyMap<string, number>;
}

/** Bits that stayed where they are from 5.15 to 6.18, and compositions of them. */
const GFP: Readonly<Record<string, number>> = {
  GFP_TRANSHUGE: 0x1c24ca,
  GFP_TRANSHUGE_LIGHT: 0x1c20ca,
  GFP_HIGHUSER_MOVABLE: 0x100cca,
  GFP_HIGHUSER: 0x100cc2,
  GFP_USER: 0x100cc0,
  GFP_KERNEL_ACCOUNT: 0x400cc0,
  GFP_KERNEL: 0xcc0,
  GFP_NOFS: 0xc40,
  GFP_NOIO: 0xc00,
  GFP_DMA: 0x1,
  GFP_DMA32: 0x4,
  __GFP_DMA: 0x1,
  __GFP_HIGHMEM: 0x2,
  __GFP_DMA32: 0x4,
  __GFP_MOVABLE: 0x8,
  __GFP_RECLAIMABLE: 0x10,
  __GFP_HIGH: 0x20,
  __GFP_IO: 0x40,
  __GFP_FS: 0x80,
  __GFP_ZERO: 0x100,
  __GFP_DIRECT_RECLAIM: 0x400,
  __GFP_KSWAPD_RECLAIM: 0x800,
  __GFP_RECLAIM: 0xc00,
  __GFP_WRITE: 0x1000,
  __GFP_NOWARN: 0x2000,
  __GFP_RETRY_MAYFAIL: 0x4000,
  __GFP_NOFAIL: 0x8000,
  __GFP_NORETRY: 0x10000,
  __GFP_MEMALLOC: 0x20000,
  __GFP_COMP: 0x40000,
  __GFP_NOMEMALLOC: 0x80000,
  __GFP_HARDWALL: 0x100000,
  __GFP_THISNODE: 0x200000,
  __GFP_ACCOUNT: 0x400000,
  __GFP_ZEROTAGS: 0x800000,
  none: 0,
};
/** In 6.1 "atomic" is a bit of its own, and GFP_NOWAIT does not keep quiet. */
const GFP_61 = { ...GFP, GFP_ATOMIC: 0xa20, GFP_NOWAIT: 0x800, __GFP_ATOMIC: 0x200 };
const GFP_612 = { ...GFP, GFP_ATOMIC: 0x820, GFP_NOWAIT: 0x2800 };
const GFP_618 = { ...GFP_612, __GFP_NO_OBJ_EXT: 0x1000000 };

const MEMBER = ["MM_FILEPAGES", "MM_ANONPAGES", "MM_SWAPENTS", "MM_SHMEMPAGES"];

const REASON = [
  "compaction",
  "memory_failure",
  "memory_hotplug",
  "syscall_or_cpuset",
  "mempolicy_mbind",
  "numa_misplaced",
  "contig_range",
  "longterm_pin",
  "demotion",
  "damon",
];

const SCAN_HEAD = [
  "failed",
  "succeeded",
  "pmd_null",
  "pmd_none",
  "page_pmd_mapped",
  "exceed_none_pte",
  "exceed_swap_pte",
  "exceed_shared_pte",
  "pte_non_present",
  "pte_uffd_wp",
  "pte_mapped_hugepage",
];
const SCAN_TAIL = [
  "lack_referenced_page",
  "page_null",
  "scan_aborted",
  "not_suitable_page_count",
  "page_not_in_lru",
  "page_locked",
  "page_not_anon",
  "page_compound",
  "no_process_for_page",
  "vma_null",
  "vma_check_failed",
  "not_suitable_address_range",
  "could_not_delete_page_from_lru",
  "alloc_huge_page_failed",
  "ccgroup_charge_failed",
  "truncated",
  "page_has_private",
  "store_failed",
  "copy_poisoned_page",
  "page_filled",
];
/** 6.18 has no "no_writable_page", so that what follows moved down by one. */
const SCAN_618 = [...SCAN_HEAD, ...SCAN_TAIL];
const SCAN_612 = [...SCAN_HEAD, "no_writable_page", ...SCAN_TAIL];

const RECLAIM: Readonly<Record<string, number>> = {
  RECLAIM_WB_ANON: 0x1,
  RECLAIM_WB_FILE: 0x2,
  RECLAIM_WB_SYNC: 0x4,
  RECLAIM_WB_ASYNC: 0x8,
  RECLAIM_WB_MIXED: 0x10,
  RECLAIM_WB_NONE: 0,
};

const listed = (names: readonly string[]): ReadonlyMap<string, number> =>
  new Map(names.map((name, i) => [name, i]));
const tabled = (bits: Readonly<Record<string, number>>): ReadonlyMap<string, number> =>
  new Map(Object.entries(bits));

function names(
  release: string,
  gfp: Readonly<Record<string, number>>,
  scan: readonly string[],
): KernelNames {
  return {
    release,
    gfp: tabled(gfp),
    member: listed(MEMBER),
    reason: listed(REASON),
    scan: listed(scan),
    reclaim: tabled(RECLAIM),
  };
}

const NAMES_61 = names("6.1", GFP_61, SCAN_612);
const NAMES_612 = names("6.12", GFP_612, SCAN_612);
const NAMES_618 = names("6.18", GFP_618, SCAN_618);

/** The tables for a kernel by its release (`6.12.117-amd64`); 6.18's where it is not known. */
export function namesOf(release: string | null): KernelNames {
  const dot = release?.indexOf(".") ?? -1;
  if (release === null || dot < 0) return NAMES_618;
  const major = Number.parseInt(release, 10);
  const minor = Number.parseInt(release.slice(dot + 1), 10);
  if (Number.isNaN(major) || Number.isNaN(minor)) return NAMES_618;
  const version = major * 1000 + minor;
  // 6.1, 6.12 and 6.18 were read; where between them a change came was not.
  if (version < 6003) return NAMES_61;
  return version < 6015 ? NAMES_612 : NAMES_618;
}

/** Whether the tables are those of this very release. */
export function isOwn(names: KernelNames, release: string): boolean {
  return `${release}.`.replace("-", ".").startsWith(`${names.release}.`);
}

/** `A|B|0x40` by a table: the sum of its bits, and which part has no number. */
export function flagBits(
  text: string,
  table: ReadonlyMap<string, number>,
): { readonly bits: number; readonly unknown: string | null } {
  let bits = 0;
  let unknown: string | null = null;
  for (const part of text.split("|")) {
    const known = table.get(part);
    if (known !== undefined) bits |= known;
    else if (/^(0x[0-9a-f]+|\d+)$/i.test(part)) bits |= Number(part) | 0;
    else unknown ??= part;
  }
  return { bits, unknown };
}
