/**
 * Page events: which of the kernel's trace events Memdesc reads, and what it keeps
 * of each.
 *
 * One row per event says where its fields go; the binary decoder looks the fields
 * up in the kernel's own format files, the text importers look for the same names.
 * An event becomes one row of columns: a time, a processor, a task, one number that
 * may be large (`x`: a frame, a page of addresses, bytes) and up to three small ones.
 * Kinds are numbered here and not as the running kernel numbers them: its ids differ
 * from boot to boot, and these are written to files, so a number is never given
 * to another event.
 *
 * Facts: trace-facts; include/trace/events/{kmem,filemap,pagemap,vmscan,migrate,
 * huge_memory,page_pool,vmalloc,compaction,page_isolation}.h and
 * arch/x86/include/asm/trace/exceptions.h of 6.1, 6.12 and 6.18.
 */
declare const kind: unique symbol;
/** What happened: a row of {@link EVENTS}. 1 … 63. */
export type EventKind = number & { readonly [kind]: "EventKind" };

const k = (n: number): EventKind => n as EventKind;

/** Events were lost before this one on this processor; `x` how many, −1 where that is not known. */
export const EV_LOST = k(1);
export const EV_ALLOC = k(2);
export const EV_FREE = k(3);
export const EV_FREE_BATCHED = k(4);
export const EV_PCPU_DRAIN = k(5);
export const EV_EXTFRAG = k(6);
export const EV_ZONE_LOCKED = k(7);
export const EV_CACHE_ADD = k(8);
export const EV_CACHE_DELETE = k(9);
export const EV_LRU_INSERTION = k(10);
export const EV_LRU_ACTIVATE = k(11);
export const EV_FAULT_USER = k(12);
export const EV_FAULT_KERNEL = k(13);
export const EV_RSS_STAT = k(14);
export const EV_POOL_HOLD = k(15);
export const EV_POOL_RELEASE = k(16);
export const EV_SET_MIGRATION = k(17);
export const EV_REMOVE_MIGRATION = k(18);
export const EV_MIGRATE_PAGES = k(19);
export const EV_COMPACTION = k(20);
export const EV_COLLAPSE = k(21);
export const EV_SCAN_PMD = k(22);
export const EV_SCAN_FILE = k(23);
export const EV_COLLAPSE_FILE = k(24);
export const EV_WRITE_FOLIO = k(25);
export const EV_VMAP_ALLOC = k(26);
export const EV_VMAP_FREE = k(27);
export const EV_ISOLATED = k(28);
/** A frame's flags as /proc/kpageflags said while recording (`--sample`). */
export const EV_SAMPLE = k(29);
export const EVENT_KINDS = 30;

/**
 * How a field becomes a number of a column.
 *
 * - `number`: as it is (the low 32 bits, in a small column).
 * - `pfn`: a frame number.
 * - `page`: an address, of which the number of its 4 KiB page is kept.
 * - `pages`: bytes, of which the pages are kept, rounded up.
 * - `gfp`, `lru-flags`, `member`: numbers that text shows by name.
 * - `pte`: a page-table entry of x86-64, of which the frame is kept: bits 12 … 51 where it
 *   is present; in a swap entry, as `set_migration_pte` shows it, bits 9 … 42 inverted.
 */
export type FieldForm =
  | "number"
  | "pfn"
  | "page"
  | "pages"
  | "gfp"
  | "lru-flags"
  | "member"
  | "pte";

/** A field by its name in the kernel's format file, or by one of its names over time. */
export interface FieldSource {
  readonly field: string | readonly string[];
  readonly form: FieldForm;
}

export interface EventSpec {
  readonly kind: EventKind;
  /** Group and name in the trace file system: `events/<system>/<name>`. */
  readonly system: string;
  readonly name: string;
  /** Where the columns come from; a column that is not named holds 0, `x` −1. */
  readonly x?: FieldSource;
  readonly a?: FieldSource;
  readonly b?: FieldSource;
  readonly c?: FieldSource;
}

const f = (field: string | readonly string[], form: FieldForm = "number"): FieldSource => ({
  field,
  form,
});
const PFN = f("pfn", "pfn");

/** Every event that the kernel may have and that Memdesc reads. */
export const EVENTS: readonly EventSpec[] = [
  {
    kind: EV_ALLOC,
    system: "kmem",
    name: "mm_page_alloc",
    x: PFN,
    a: f("order"),
    b: f("gfp_flags", "gfp"),
    c: f("migratetype"),
  },
  { kind: EV_FREE, system: "kmem", name: "mm_page_free", x: PFN, a: f("order") },
  { kind: EV_FREE_BATCHED, system: "kmem", name: "mm_page_free_batched", x: PFN },
  {
    kind: EV_PCPU_DRAIN,
    system: "kmem",
    name: "mm_page_pcpu_drain",
    x: PFN,
    a: f("order"),
    c: f("migratetype"),
  },
  {
    kind: EV_EXTFRAG,
    system: "kmem",
    name: "mm_page_alloc_extfrag",
    x: PFN,
    a: f("alloc_order"),
    b: f("fallback_order"),
    c: f("alloc_migratetype"),
  },
  {
    kind: EV_ZONE_LOCKED,
    system: "kmem",
    name: "mm_page_alloc_zone_locked",
    x: PFN,
    a: f("order"),
    b: f("percpu_refill"),
    c: f("migratetype"),
  },
  {
    kind: EV_CACHE_ADD,
    system: "filemap",
    name: "mm_filemap_add_to_page_cache",
    x: PFN,
    a: f("order"),
    b: f("i_ino"),
    c: f("index"),
  },
  {
    kind: EV_CACHE_DELETE,
    system: "filemap",
    name: "mm_filemap_delete_from_page_cache",
    x: PFN,
    a: f("order"),
    b: f("i_ino"),
    c: f("index"),
  },
  {
    kind: EV_LRU_INSERTION,
    system: "pagemap",
    name: "mm_lru_insertion",
    x: PFN,
    a: f("lru"),
    b: f("flags", "lru-flags"),
  },
  { kind: EV_LRU_ACTIVATE, system: "pagemap", name: "mm_lru_activate", x: PFN },
  {
    kind: EV_FAULT_USER,
    system: "exceptions",
    name: "page_fault_user",
    x: f("address", "page"),
    a: f("error_code"),
  },
  {
    kind: EV_FAULT_KERNEL,
    system: "exceptions",
    name: "page_fault_kernel",
    x: f("address", "page"),
    a: f("error_code"),
  },
  {
    kind: EV_RSS_STAT,
    system: "kmem",
    name: "rss_stat",
    x: f("size"),
    a: f("mm_id"),
    b: f("member", "member"),
    c: f("curr"),
  },
  { kind: EV_POOL_HOLD, system: "page_pool", name: "page_pool_state_hold", x: PFN, a: f("hold") },
  {
    kind: EV_POOL_RELEASE,
    system: "page_pool",
    name: "page_pool_state_release",
    x: PFN,
    a: f("release"),
  },
  {
    kind: EV_SET_MIGRATION,
    system: "migrate",
    name: "set_migration_pte",
    x: f("pte", "pte"),
    a: f("order"),
    b: f("addr", "page"),
  },
  {
    kind: EV_REMOVE_MIGRATION,
    system: "migrate",
    name: "remove_migration_pte",
    x: f("pte", "pte"),
    a: f("order"),
    b: f("addr", "page"),
  },
  {
    kind: EV_MIGRATE_PAGES,
    system: "migrate",
    name: "mm_migrate_pages",
    a: f("succeeded"),
    b: f("failed"),
    c: f("reason"),
  },
  {
    kind: EV_COMPACTION,
    system: "compaction",
    name: "mm_compaction_migratepages",
    a: f("nr_migrated"),
    b: f("nr_failed"),
  },
  {
    kind: EV_COLLAPSE,
    system: "huge_memory",
    name: "mm_collapse_huge_page",
    a: f("isolated"),
    b: f("status"),
  },
  {
    kind: EV_SCAN_PMD,
    system: "huge_memory",
    name: "mm_khugepaged_scan_pmd",
    x: PFN,
    a: f("status"),
    b: f(["none_or_zero", "referenced"]),
  },
  {
    kind: EV_SCAN_FILE,
    system: "huge_memory",
    name: "mm_khugepaged_scan_file",
    x: PFN,
    a: f("result"),
    b: f("present"),
  },
  {
    kind: EV_COLLAPSE_FILE,
    system: "huge_memory",
    name: "mm_khugepaged_collapse_file",
    x: f(["hpfn", "pfn"], "pfn"),
    a: f("result"),
    b: f("nr"),
  },
  {
    kind: EV_WRITE_FOLIO,
    system: "vmscan",
    name: "mm_vmscan_write_folio",
    x: PFN,
    a: f("reclaim_flags"),
  },
  {
    kind: EV_VMAP_ALLOC,
    system: "vmalloc",
    name: "alloc_vmap_area",
    x: f("addr", "page"),
    a: f("size", "pages"),
    b: f("failed"),
  },
  {
    kind: EV_VMAP_FREE,
    system: "vmalloc",
    name: "free_vmap_area_noflush",
    x: f("va_start", "page"),
    a: f("nr_lazy"),
  },
  {
    kind: EV_ISOLATED,
    system: "page_isolation",
    name: "test_pages_isolated",
    x: f("start_pfn", "pfn"),
    a: f("end_pfn"),
    b: f("fin_pfn"),
  },
];

/** Names by kind; those that no kernel has are Memdesc's. */
export const EVENT_NAMES: readonly string[] = Array.from({ length: EVENT_KINDS }, (_, i) => {
  if (i === EV_LOST) return "lost";
  if (i === EV_SAMPLE) return "sample";
  return EVENTS.find((e) => e.kind === i)?.name ?? "";
});

/**
 * Events in columns, as they are read, written and replayed: rows 0 … length − 1 of
 * arrays that are `capacity` long. Refilled, never grown.
 */
export class EventBatch {
  readonly capacity: number;
  length = 0;
  /** Nanoseconds of the trace's clock; never decreasing from row to row. */
  readonly time: Float64Array;
  readonly kind: Uint8Array;
  readonly cpu: Uint16Array;
  readonly pid: Int32Array;
  /** The large number: a frame, a page of addresses, bytes; −1 for none. */
  readonly x: Float64Array;
  readonly a: Int32Array;
  readonly b: Int32Array;
  readonly c: Int32Array;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.time = new Float64Array(capacity);
    this.kind = new Uint8Array(capacity);
    this.cpu = new Uint16Array(capacity);
    this.pid = new Int32Array(capacity);
    this.x = new Float64Array(capacity);
    this.a = new Int32Array(capacity);
    this.b = new Int32Array(capacity);
    this.c = new Int32Array(capacity);
  }

  /** Appends a row. The caller has looked that there is room. */
  push(
    time: number,
    what: EventKind,
    cpu: number,
    pid: number,
    x: number,
    a: number,
    b: number,
    c: number,
  ): void {
    const i = this.length++;
    this.time[i] = time;
    this.kind[i] = what;
    this.cpu[i] = cpu;
    this.pid[i] = pid;
    this.x[i] = x;
    this.a[i] = a;
    this.b[i] = b;
    this.c[i] = c;
  }
}
