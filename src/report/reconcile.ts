/**
 * Our counts beside the kernel's own totals.
 *
 * A page's kind comes from its flags alone; the kernel keeps totals of its own
 * that were counted another way. Each row says both and why they may differ:
 * the files of a live machine are read one after the other, and some totals
 * count pages by how they are mapped rather than by what they are. A total that
 * a kernel does not have gives no row; {@link missingTotals} says so by name.
 */
import type { Kind } from "../observe/kinds.js";
import type { ObjectRuns } from "../observe/objects.js";
import type { Note, Snapshot } from "../observe/snapshot.js";
import { PAGE_SIZE } from "../units.js";
import { freeBlocks, MAX_BUDDY_ORDER } from "./kinds.js";
import type { KindRow, ReconciliationRow } from "./model.js";
import { framesWithPageStructure, structPageSize } from "./sections.js";

/** Why two files of a running machine never quite agree. */
const MOMENT = "not read at the same instant";
/** meminfo shows node counters without what each CPU holds back (stat_threshold, at most 125). */
const LAG = "the counter lags by what each CPU holds back (at most 125 pages)";

/** Every comparison that this source allows. */
export function reconcile(
  snapshot: Snapshot,
  objects: ObjectRuns,
  kinds: readonly KindRow[],
): ReconciliationRow[] {
  const pages = (kind: Kind): number => kinds.find((row) => row.kind === kind)?.pages ?? 0;
  return [
    ...pageArrayRow(snapshot, objects),
    ...freeRows(snapshot, objects, pages("free")),
    ...neverGivenRow(snapshot, pages("reserved") + pages("uninitialised")),
    ...slabRows(snapshot, pages("slab")),
    ...meminfoRows(snapshot, pages),
    ...kernelRow(snapshot, pages("kernel")),
  ];
}

/** Totals that this source lacks, by file and field. */
export function missingTotals(snapshot: Snapshot): Note[] {
  const notes: Note[] = [];
  if (snapshot.vmstat !== null && !("nr_memmap_boot_pages" in snapshot.vmstat)) {
    notes.push({
      subject: "vmstat nr_memmap_boot_pages",
      text: "not there (Linux has it since 6.11), so the page array is not compared",
    });
  }
  return notes;
}

function row(
  name: string,
  ours: number,
  theirs: number,
  source: string,
  unit: ReconciliationRow["unit"],
  why: string,
): ReconciliationRow {
  return { name, ours, theirs, source, residue: ours - theirs, unit, why };
}

function pageArrayRow(snapshot: Snapshot, objects: ObjectRuns): ReconciliationRow[] {
  const boot = snapshot.vmstat?.["nr_memmap_boot_pages"];
  if (boot === undefined) return [];
  const later = snapshot.vmstat?.["nr_memmap_pages"] ?? 0;
  const size = structPageSize(snapshot);
  const basis = snapshot.structSizes?.["page"] === undefined ? "as in mainline" : "from BTF";
  return [
    row(
      "page array",
      framesWithPageStructure(objects) * size,
      (boot + later) * PAGE_SIZE,
      "vmstat nr_memmap_boot_pages + nr_memmap_pages",
      "bytes",
      `ours: frames in sections of 128 MiB that have memory × ${size} B (${basis}); ` +
        "vmemmap optimisation of huge pages lowers theirs, page_ext raises it",
    ),
  ];
}

function freeRows(snapshot: Snapshot, objects: ObjectRuns, free: number): ReconciliationRow[] {
  const why = `${MOMENT}; per-CPU free pages are in neither`;
  const rows: ReconciliationRow[] = [];
  if (snapshot.buddyinfo !== null) {
    const theirs = sum(snapshot.buddyinfo, (line) =>
      sum(line.free, (blocks, order) => blocks * 2 ** order),
    );
    rows.push(row("free pages", free, theirs, "buddyinfo", "pages", why));
  }
  if (snapshot.zones.length > 0) {
    const theirs = sum(snapshot.zones, (zone) => zone.free);
    rows.push(row("free pages", free, theirs, "zoneinfo free", "pages", why));
  }
  return [...rows, ...blockRows(snapshot, objects, why)];
}

function blockRows(snapshot: Snapshot, objects: ObjectRuns, why: string): ReconciliationRow[] {
  const lines = snapshot.buddyinfo;
  if (lines === null) return [];
  const ours = freeBlocks(objects, snapshot.zones);
  const orders = Array.from({ length: MAX_BUDDY_ORDER + 1 }, (_, order) => order);
  return orders.map((order) => {
    const theirs = sum(lines, (line) => line.free[order] ?? 0);
    return row(`free blocks, order ${order}`, ours[order], theirs, "buddyinfo", "blocks", why);
  });
}

function neverGivenRow(snapshot: Snapshot, ours: number): ReconciliationRow[] {
  if (snapshot.zones.length === 0) return [];
  const theirs = sum(snapshot.zones, (zone) => zone.present - zone.managed);
  return [
    row(
      "not managed",
      ours,
      theirs,
      "zoneinfo present − managed",
      "pages",
      "ours: reserved + uninitialised. Holes inside a section (frame 0 and 640 KiB to 1 MiB on a " +
        "PC: 97 frames) are marked reserved but are no zone's present pages",
    ),
  ];
}

function slabRows(snapshot: Snapshot, slab: number): ReconciliationRow[] {
  const rows: ReconciliationRow[] = [];
  if (snapshot.slabinfo !== null) {
    const theirs = sum(snapshot.slabinfo, (cache) => cache.slabs * cache.pagesPerSlab);
    rows.push(row("slab", slab, theirs, "slabinfo", "pages", MOMENT));
  }
  return rows;
}

interface MeminfoRule {
  readonly name: string;
  readonly kinds: readonly Kind[];
  readonly fields: readonly string[];
  readonly why: string;
}

const MEMINFO: readonly MeminfoRule[] = [
  {
    name: "slab",
    kinds: ["slab"],
    fields: ["Slab"],
    why: "Slab also counts large kmalloc (above two pages), which has no slab flag",
  },
  {
    name: "anon + ksm",
    kinds: ["anon", "ksm"],
    fields: ["AnonPages"],
    why: `${MOMENT}; AnonPages counts mapped pages only; ${LAG}`,
  },
  {
    name: "file + shmem",
    kinds: ["file", "shmem"],
    fields: ["Cached", "Buffers"],
    why: `${MOMENT}; a page that is neither on an LRU list nor up to date shows no file flag`,
  },
  {
    name: "shmem",
    kinds: ["shmem"],
    fields: ["Shmem"],
    why: `${MOMENT}; ${LAG}`,
  },
  {
    name: "page tables",
    kinds: ["page-table"],
    fields: ["PageTables", "SecPageTables"],
    why: `${MOMENT}; ${LAG}`,
  },
  {
    name: "hugetlb",
    kinds: ["hugetlb"],
    fields: ["Hugetlb"],
    why: MOMENT,
  },
];

function meminfoRows(snapshot: Snapshot, pages: (kind: Kind) => number): ReconciliationRow[] {
  const { meminfo } = snapshot;
  if (meminfo === null) return [];
  return MEMINFO.filter((rule) => rule.fields[0] in meminfo).map((rule) => {
    const fields = rule.fields.filter((field) => field in meminfo);
    const theirs = sum(fields, (field) => meminfo[field]) / PAGE_SIZE;
    const ours = sum(rule.kinds, pages);
    return row(rule.name, ours, theirs, `meminfo ${fields.join(" + ")}`, "pages", rule.why);
  });
}

/** What is known by name of the pages that /proc cannot tell apart: a lower bound. */
function kernelRow(snapshot: Snapshot, kernel: number): ReconciliationRow[] {
  const parts: { source: string; pages: number }[] = [];
  if (snapshot.vmalloc !== null) {
    parts.push({ source: "vmallocinfo", pages: snapshot.vmalloc.pages });
  } else if (snapshot.meminfo !== null && "KernelStack" in snapshot.meminfo) {
    const pages = snapshot.meminfo["KernelStack"] / PAGE_SIZE;
    parts.push({ source: "meminfo KernelStack", pages });
  }
  if (snapshot.meminfo !== null && "Percpu" in snapshot.meminfo) {
    parts.push({ source: "meminfo Percpu", pages: snapshot.meminfo["Percpu"] / PAGE_SIZE });
  }
  if (snapshot.zones.length > 0) {
    const pages = sum(snapshot.zones, (zone) => sum(zone.cpus, (cpu) => cpu.count));
    parts.push({ source: "zoneinfo per-CPU", pages });
  }
  if (parts.length === 0) return [];
  return [
    row(
      "kernel, at least",
      kernel,
      sum(parts, (part) => part.pages),
      parts.map((part) => part.source).join(" + "),
      "pages",
      "theirs is what has a total: vmalloc (stacks too), per-CPU memory, per-CPU free pages; " +
        "large kmalloc, page pools and drivers' own pages have none",
    ),
  ];
}

function sum<T>(items: readonly T[], value: (item: T, index: number) => number): number {
  return items.reduce((total, item, index) => total + value(item, index), 0);
}
