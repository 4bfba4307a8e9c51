/**
 * The report of `inspect` as data: what `--json` prints and what the terminal
 * and HTML views draw. Views compute nothing that is not here.
 *
 * Numbers are bytes unless a name says otherwise. Its published description is
 * docs/inspect-schema.md; `schema` changes when a field changes its meaning.
 */
import type { DeviceNameChoice, DeviceRecordChoice } from "../engine/design/device-rules.js";
import type { Kind } from "../observe/kinds.js";

export interface InspectReport {
  readonly schema: "memdesc/inspect/1";
  readonly machine: MachineRow;
  readonly kinds: readonly KindRow[];
  readonly designs: readonly DesignRow[];
  /** From which order a folio costs less than today, by design. */
  readonly breakEven: readonly BreakEvenRow[];
  readonly reconciliation: readonly ReconciliationRow[];
  /** What vmemmap optimisation (HVO) gives today and what Linux 7.1's shared tails give. */
  readonly vmemmap: readonly VmemmapRow[];
  /** What a device costs (`--device`); null where none was asked for. */
  readonly device: DeviceReport | null;
  /** What could not be known or read, by name. */
  readonly notes: readonly { readonly subject: string; readonly text: string }[];
  /** The arithmetic behind every figure (`--explain`). */
  readonly arithmetic: readonly Arithmetic[];
}

export interface MachineRow {
  readonly label: string;
  readonly origin: "live" | "folder" | "tar" | "capture" | "bundled";
  readonly kernel: string | null;
  /** frames × pageSize. */
  readonly ram: number;
  /** Frames that exist (absent ones left out). */
  readonly frames: number;
  readonly pageSize: number;
  readonly nodes: number;
  readonly zones: readonly {
    readonly node: number;
    readonly name: string;
    readonly start: number;
    readonly spanned: number;
    readonly present: number;
    readonly managed: number;
  }[];
  /** What-ifs that were applied, as typed. */
  readonly whatIf: readonly string[];
  /** Seconds it took to read the source; null where it was not read now. */
  readonly readSeconds: number | null;
}

export interface KindRow {
  readonly kind: Kind;
  readonly pages: number;
  readonly bytes: number;
  readonly objects: number;
  /** Mean of log2(pages) over objects; null where the kind has no objects. */
  readonly meanOrder: number | null;
  readonly largestOrder: number | null;
}

export interface DesignRow {
  /** Canonical name, `preset[+axis=choice…]`. */
  readonly design: string;
  /** What a frame carries, for the table: `struct page 64 B`. */
  readonly summary: string;
  readonly pageArray: number;
  readonly descriptors: readonly DescriptorRow[];
  /** pageArray + all bytes + all waste: freshly packed, a lower bound. */
  readonly total: number;
  readonly shareOfRam: number;
  /** The same with the fill ratios of like caches in slabinfo; null without slabinfo. */
  readonly estimated: {
    readonly total: number;
    readonly shareOfRam: number;
    readonly fill: number;
    readonly basis: string;
  } | null;
  /** Totals when every assumed size is 64, 80, 96, 128; null where nothing is assumed. */
  readonly band: readonly { readonly size: number; readonly total: number }[] | null;
  /** total − today's total. */
  readonly change: number;
  /** Frames that hold metadata in the simulated machine, by the kind they were in the source. */
  readonly metadataFrames: {
    readonly total: number;
    readonly from: readonly { readonly kind: Kind; readonly frames: number }[];
  };
  /** Bits of the source that the design has no place for. */
  readonly lost: readonly { readonly bit: string; readonly frames: number; readonly why: string }[];
  /** The `--verify` result; null where it was not asked for. */
  readonly verify: VerifyRow | null;
}

export interface DescriptorRow {
  readonly type: string;
  readonly objects: number;
  /** Bytes of one object as allocated (free pointer and alignment included). */
  readonly size: number;
  readonly bytes: number;
  /** Slab pages − bytes. */
  readonly waste: number;
  /** The size is assumed, not published. */
  readonly assumed: boolean;
  readonly source: string;
}

export interface BreakEvenRow {
  readonly design: string;
  /** Lowest order from which a file folio costs less than today; null: never. */
  readonly order: number | null;
  /**
   * The same if large folios had only the published struct folio. What they
   * append to it is derived from 6.18's fields; no proposal gives its size.
   */
  readonly orderAtBase: number | null;
  /** Bytes of one folio of each order: its page words and its descriptor. */
  readonly perOrder: readonly {
    readonly order: number;
    readonly today: number;
    readonly design: number;
  }[];
}

export interface VerifyRow {
  readonly compared: number;
  /** Frames left out, and why (metadata, torn). */
  readonly leftOut: readonly { readonly why: string; readonly frames: number }[];
  readonly differences: number;
  readonly first: readonly {
    readonly pfn: number;
    readonly file: string;
    readonly expected: string;
    readonly got: string;
  }[];
}

export interface ReconciliationRow {
  readonly name: string;
  readonly ours: number;
  readonly theirs: number;
  /** Which file and field theirs comes from. */
  readonly source: string;
  /** ours − theirs. */
  readonly residue: number;
  readonly unit: "bytes" | "pages" | "blocks";
  /** Why they may differ, in a few words. */
  readonly why?: string;
}

export interface VmemmapRow {
  readonly name: string;
  readonly saved: number;
  readonly total: number;
  readonly why: string;
}

/** What the private memory of one device takes of its host's memory. */
export interface DeviceReport {
  /** Bytes of the device: one page map. */
  readonly size: number;
  /** Order of the folios that its pages are in service as: 0, or 9 with `:huge`. */
  readonly order: number;
  /** Bytes of the device that was built: `size`, or the first GiB of a larger one. */
  readonly measured: number;
  /** By page words in the order asked for, then by record and name. */
  readonly rows: readonly DeviceRow[];
  /** Names and records that do not go together, whatever the page words are. */
  readonly refused: readonly {
    readonly name: DeviceNameChoice;
    readonly record: DeviceRecordChoice;
    readonly why: string;
  }[];
}

export interface DeviceRow {
  /** The page words of the host: a design without its choices for devices. */
  readonly words: string;
  readonly name: DeviceNameChoice;
  readonly record: DeviceRecordChoice;
  /** What describes a page: `struct page 64 B`. */
  readonly summary: string;
  /** Bytes while no page is in service, by lifetime of the records; nothing was in service before. */
  readonly idle: { readonly static: number; readonly chunk: number; readonly request: number };
  /** Bytes while every page is, whatever the lifetime. */
  readonly inService: number;
  /** inService / GiB of the device. */
  readonly perGiB: number;
  /** inService − that of today's page words with name `physical` and record `page`. */
  readonly change: number;
  /** What inService, and the static idle, is made of. */
  readonly parts: readonly DevicePart[];
  /** inService when every assumed size is 64, 80, 96, 128; null where nothing is assumed. */
  readonly band: readonly { readonly size: number; readonly total: number }[] | null;
}

export interface DevicePart {
  /** `records`, `space table`, or the cache that the objects come from. */
  readonly what: string;
  /** With every page in service. */
  readonly objects: number;
  readonly size: number;
  /** Bytes of its pages while the device is idle (static), and with every page in service. */
  readonly idle: number;
  readonly bytes: number;
  /** The size is assumed, not published. */
  readonly assumed: boolean;
  readonly source: string;
}

export interface Arithmetic {
  /** Which figure, e.g. `memdesc8 total`. */
  readonly figure: string;
  readonly value: number;
  readonly unit: "bytes" | "pages" | "objects" | "order" | "share";
  /** The sum as one would write it: `6,291,456 frames × 64 B`. */
  readonly sum: string;
  readonly source: string;
}
