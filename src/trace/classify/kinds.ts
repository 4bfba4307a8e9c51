/**
 * What an allocation is taken to be, and by which rule that was found out.
 *
 * Events name no owner. What they do name (an LRU list, the page cache, a pool of a
 * network driver, gfp flags, an order, a migrate type) is put to rules, tried in the
 * order of their numbers; which one decided is kept with every allocation, counted,
 * and shown. The rules in words, with what each was found to be worth:
 * docs/classification.md. Facts: trace-facts, "Rules that work, in order".
 */
import { kindId, type KindId } from "../../observe/kinds.js";

export const ANON = kindId("anon");
export const FILE = kindId("file");
export const SHMEM = kindId("shmem");
export const SLAB = kindId("slab");
export const PAGE_TABLE = kindId("page-table");
export const KERNEL = kindId("kernel");

/** A rule's number in columns, its name, and what it goes by. */
export interface TraceRule {
  readonly name: string;
  readonly goesBy: string;
}

/** Rules by number; 0 is none. The numbers are those of docs/classification.md. */
export const TRACE_RULES: readonly TraceRule[] = [
  { name: "none", goesBy: "nothing was known" },
  { name: "sampled", goesBy: "kpageflags of the frame, read while recording" },
  { name: "lru-anon", goesBy: "mm_lru_insertion with flag a" },
  { name: "lru-shmem", goesBy: "mm_lru_insertion with flags f and b" },
  { name: "lru-file", goesBy: "mm_lru_insertion with flag f" },
  { name: "cache-add", goesBy: "mm_filemap_add_to_page_cache" },
  {
    name: "cache-delete",
    goesBy: "mm_filemap_delete_from_page_cache without an add: shared memory",
  },
  { name: "page-pool", goesBy: "page_pool_state_hold" },
  { name: "gfp-anon", goesBy: "HIGHUSER_MOVABLE, ZERO, COMP" },
  { name: "gfp-page-table", goesBy: "KERNEL_ACCOUNT, ZERO, COMP, order 0" },
  { name: "gfp-slab", goesBy: "not movable, NOWARN, NORETRY, COMP, no ZERO" },
  {
    name: "gfp-movable",
    goesBy: "movable with WRITE or NORETRY, or not of user memory: page cache",
  },
  {
    name: "gfp-account",
    goesBy: "ACCOUNT, none of the above: charged kernel memory, mostly pipes",
  },
  { name: "gfp-kernel", goesBy: "what is left" },
  { name: "snapshot", goesBy: "the snapshot taken before" },
  {
    name: "gfp-copy",
    goesBy: "HIGHUSER_MOVABLE, COMP, none of ZERO, WRITE, NORETRY: copy on write",
  },
  {
    name: "gfp-buffer",
    goesBy: "COMP with NOFAIL or NOWAIT, none of NORETRY, ZERO, ACCOUNT: cache of a block device",
  },
  {
    name: "gfp-fragment",
    goesBy: "order above 0, as a slab but with IO, FS and KSWAPD_RECLAIM: fragments of a socket",
  },
];

export const R_SAMPLED = 1;
export const R_LRU_ANON = 2;
export const R_LRU_SHMEM = 3;
export const R_LRU_FILE = 4;
export const R_CACHE_ADD = 5;
export const R_CACHE_DELETE = 6;
export const R_PAGE_POOL = 7;
export const R_GFP_ANON = 8;
export const R_GFP_PAGE_TABLE = 9;
export const R_GFP_SLAB = 10;
export const R_GFP_MOVABLE = 11;
export const R_GFP_ACCOUNT = 12;
export const R_GFP_KERNEL = 13;
export const R_SNAPSHOT = 14;
export const R_GFP_COPY = 15;
export const R_GFP_BUFFER = 16;
export const R_GFP_FRAGMENT = 17;

/** Bits of gfp_t that rules look at: the same from 5.15 to 6.18. */
const GFP_HIGHMEM = 1 << 1;
const GFP_MOVABLE = 1 << 3;
const GFP_IO = 1 << 6;
const GFP_FS = 1 << 7;
const GFP_ZERO = 1 << 8;
const GFP_DIRECT_RECLAIM = 1 << 10;
const GFP_KSWAPD_RECLAIM = 1 << 11;
const GFP_WRITE = 1 << 12;
const GFP_NOWARN = 1 << 13;
const GFP_NOFAIL = 1 << 15;
const GFP_NORETRY = 1 << 16;
const GFP_COMP = 1 << 18;
const GFP_ACCOUNT = 1 << 22;

/** Flags of mm_lru_insertion (include/trace/events/pagemap.h). */
const PAGEMAP_ANONYMOUS = 1 << 1;
const PAGEMAP_SWAPBACKED = 1 << 4;

const ANSWER = (kind: KindId, rule: number): number => kind | (rule << 5);
export const kindOfAnswer = (answer: number): KindId => (answer & 31) as KindId;
export const ruleOfAnswer = (answer: number): number => answer >> 5;

/** Kind and rule by what mm_lru_insertion says: rule 1 of trace-facts. */
export function byLru(flags: number): number {
  if ((flags & PAGEMAP_ANONYMOUS) !== 0) return ANSWER(ANON, R_LRU_ANON);
  if ((flags & PAGEMAP_SWAPBACKED) !== 0) return ANSWER(SHMEM, R_LRU_SHMEM);
  return ANSWER(FILE, R_LRU_FILE);
}

const USER = GFP_MOVABLE | GFP_HIGHMEM | GFP_COMP;
const SLAB_TRY = GFP_NOWARN | GFP_NORETRY | GFP_COMP;
const KERNEL_BITS = GFP_IO | GFP_FS | GFP_DIRECT_RECLAIM | GFP_KSWAPD_RECLAIM;
const TABLE = KERNEL_BITS | GFP_ACCOUNT | GFP_ZERO;

/** Kind and rule by what mm_page_alloc says: rule 2 of trace-facts, and what was seen since. */
export function byFlags(order: number, gfp: number): number {
  if ((gfp & GFP_MOVABLE) !== 0) return movable(gfp);
  if (order === 0 && (gfp & TABLE) === TABLE && (gfp & GFP_HIGHMEM) === 0)
    return ANSWER(PAGE_TABLE, R_GFP_PAGE_TABLE);
  if ((gfp & SLAB_TRY) === SLAB_TRY && (gfp & GFP_ZERO) === 0)
    return isFragment(order, gfp) ? ANSWER(KERNEL, R_GFP_FRAGMENT) : ANSWER(SLAB, R_GFP_SLAB);
  if ((gfp & GFP_ACCOUNT) !== 0) return ANSWER(KERNEL, R_GFP_ACCOUNT);
  if (isBuffer(gfp)) return ANSWER(FILE, R_GFP_BUFFER);
  return ANSWER(KERNEL, R_GFP_KERNEL);
}

function movable(gfp: number): number {
  const user = (gfp & USER) === USER;
  if (user && (gfp & GFP_ZERO) !== 0) return ANSWER(ANON, R_GFP_ANON);
  if (user && (gfp & (GFP_WRITE | GFP_NORETRY)) === 0) return ANSWER(ANON, R_GFP_COPY);
  return ANSWER(FILE, R_GFP_MOVABLE);
}

/**
 * skb_page_frag_refill takes the socket's GFP_KERNEL less direct reclaim. A slab of that order
 * loses kswapd's with it (allocate_slab), and one that may not wait never had IO and FS.
 */
function isFragment(order: number, gfp: number): boolean {
  const asked = GFP_IO | GFP_FS | GFP_KSWAPD_RECLAIM;
  return order > 0 && (gfp & asked) === asked && (gfp & GFP_DIRECT_RECLAIM) === 0;
}

/** Pages of a block device in the page cache: file system metadata, which cannot wait or must not fail. */
function isBuffer(gfp: number): boolean {
  if ((gfp & GFP_COMP) === 0 || (gfp & (GFP_NORETRY | GFP_ZERO)) !== 0) return false;
  const noWait = (gfp & (GFP_DIRECT_RECLAIM | GFP_KSWAPD_RECLAIM)) === GFP_KSWAPD_RECLAIM;
  return (gfp & GFP_NOFAIL) !== 0 || noWait;
}

export const byRule = (kind: KindId, rule: number): number => ANSWER(kind, rule);
