/**
 * What /proc says of a process: pagemap, the counts of its pages, its VMAs.
 *
 * Source: fs/proc/task_mmu.c of 6.18. Reads words and writes none.
 */
import {
  MM_RSS_ANON,
  MM_RSS_FILE,
  MM_RSS_SHMEM,
  MM_RSS_SWAP,
} from "../layout/generated/offsets.js";
import { PAGE_SIZE, type Ref } from "../../units.js";
import type { Base } from "./base.js";
import { PMD_PAGES, TASK_PAGES, VM_HUGETLB } from "./constants.js";
import { PMD_HUGE, ptePfn, PTE_SPECIAL, PTE_THERE, PTE_WRITE } from "./entry.js";
import { pmdAt, pteAt } from "./page-tables.js";

const NONE = 0 as Ref;

/** One page as /proc/PID/pagemap and its frame show it. */
export interface PagemapEntry {
  /** A page is there (bit 63). */
  readonly present: boolean;
  /** It is in swap, with a device, or on its way elsewhere (bit 62). */
  readonly swapped: boolean;
  /** Frame; −1 where there is none. */
  readonly pfn: number;
  /**
   * Mapped by one page-table entry only, as far as the design can tell (bit 56,
   * "page exclusively mapped"). Not PageAnonExclusive: that is in `Kernel.page`.
   */
  readonly exclusivelyMapped: boolean;
  /** Of a file or shared memory (bit 61). */
  readonly file: boolean;
  /** The entry allows writes. */
  readonly writable: boolean;
  /** Mapped by a PMD. */
  readonly huge: boolean;
  /** The zero page, or the huge one. */
  readonly zero: boolean;
}

/** Pages of 4 KiB that a process has, by kind, as /proc/PID/status counts them. */
export interface Rss {
  /** RssAnon: anonymous pages in memory. */
  readonly anon: number;
  /** RssFile: pages of disk files. */
  readonly file: number;
  /** RssShmem: pages of tmpfs and of shared anonymous memory. */
  readonly shmem: number;
  /** VmSwap: anonymous pages in swap. */
  readonly swap: number;
  /** HugetlbPages, in pages of 4 KiB: 512 for each huge page. In no other of these figures. */
  readonly hugetlb: number;
}

/** One VMA, as a line of /proc/PID/maps. */
export interface VmaFacts {
  /** First byte. */
  readonly start: number;
  /** Byte behind the last one. */
  readonly end: number;
  /** VM_ bits. */
  readonly flags: number;
  /** Offset in what is mapped, pages. */
  readonly pgoff: number;
}

const ABSENT: PagemapEntry = {
  present: false,
  swapped: false,
  pfn: -1,
  exclusivelyMapped: false,
  file: false,
  writable: false,
  huge: false,
  zero: false,
};

const NOT_PRESENT: PagemapEntry = { ...ABSENT, swapped: true };

/** pagemap of page number `vpn`. */
export function pagemapOf(base: Base, mm: Ref, vpn: number): PagemapEntry {
  const { w, tables, core, folios, counts } = base;
  if (vpn >= TASK_PAGES) return ABSENT;
  const pmds = tables.pmdTable(mm, vpn);
  if (pmds === NONE) return ABSENT;
  const below = tables.below(pmds, pmdAt(vpn));
  const huge = below === NONE;
  const lo = w.load64(huge ? pmds : below, huge ? pmdAt(vpn) : pteAt(vpn));
  const hi = w.hi;
  // Bit 62 is for every entry that is not present, a device's and one on its way too.
  if ((lo & PTE_THERE) === 0) return (lo | hi) === 0 ? ABSENT : NOT_PRESENT;
  const pfn = ptePfn(huge ? lo & ~PMD_HUGE : lo, hi) + (huge ? vpn & 511 : 0);
  const zero = core.isZeroPage(pfn) || (huge && core.isHugeZero(pfn - (vpn & 511)));
  const special = zero || (lo & PTE_SPECIAL) !== 0;
  const folio = special ? NONE : folios.ofPage(pfn);
  const order = folio === NONE ? 0 : core.design.orderOf(pfn);
  return {
    present: true,
    swapped: false,
    pfn,
    exclusivelyMapped:
      folio !== NONE &&
      (core.design.mapcounts === "per-page"
        ? // Of a huge entry the kernel asks the first page for all of them.
          core.design.mapcountOf(huge ? pfn - (vpn & 511) : pfn) === 1
        : !counts.maybeShared(folio, order)),
    // The huge zero page is no anonymous one, so it counts as a file's (bit 61).
    file: (huge && zero) || (folio !== NONE && !folios.isAnon(folio)),
    writable: (lo & PTE_WRITE) !== 0,
    huge,
    zero,
  };
}

/** Pages in memory and in swap, by kind. */
export function rssOf(base: Base, mm: Ref): Rss {
  const { w } = base;
  return {
    anon: w.load32(mm, MM_RSS_ANON),
    file: w.load32(mm, MM_RSS_FILE),
    shmem: w.load32(mm, MM_RSS_SHMEM),
    swap: w.load32(mm, MM_RSS_SWAP),
    hugetlb: hugetlbPages(base, mm),
  };
}

/** Found in the page tables: no counter of the engine has them. */
function hugetlbPages({ w, tables, vmas }: Base, mm: Ref): number {
  let pages = 0;
  for (let vma = vmas.tree.first(mm); vma !== NONE; vma = vmas.tree.next(vma)) {
    if ((vmas.flags(vma) & VM_HUGETLB) === 0) continue;
    for (let vpn = vmas.tree.start(vma); vpn < vmas.tree.end(vma); vpn += PMD_PAGES) {
      const pmds = tables.pmdTable(mm, vpn);
      const pmd = pmds === NONE ? 0 : w.load64(pmds, pmdAt(vpn));
      if ((pmd & PMD_HUGE) !== 0 && (pmd & PTE_THERE) !== 0) pages += PMD_PAGES;
    }
  }
  return pages;
}

/** VMAs by address. */
export function vmasOf({ vmas }: Base, mm: Ref): VmaFacts[] {
  const list: VmaFacts[] = [];
  for (let vma = vmas.tree.first(mm); vma !== NONE; vma = vmas.tree.next(vma)) {
    list.push({
      start: vmas.tree.start(vma) * PAGE_SIZE,
      end: vmas.tree.end(vma) * PAGE_SIZE,
      flags: vmas.flags(vma),
      pgoff: vmas.pgoff(vma),
    });
  }
  return list;
}
