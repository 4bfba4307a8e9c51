/**
 * What a walk over a kernel finds: address spaces, mappings, folios, and what
 * outside holders say they hold.
 */
import type { Ref } from "../../../units.js";
import type { PageType } from "../../design/word/axis-types.js";
import type { HeldBlock } from "../view.js";
import type { EntryView, TablesView } from "./entries.js";

/** References that the words do not explain: who has them. */
export interface HeldFolio {
  /** Any page of the folio. */
  readonly pfn: number;
  /** Got with FOLL_GET, or a driver's own. */
  readonly refs: number;
  /** Got with FOLL_PIN. */
  readonly pins: number;
  readonly who: string;
}

/** References of a page map that somebody got by get_dev_pagemap: which map, by its words. */
export interface HeldPagemap {
  readonly words: Ref;
  readonly refs: number;
  readonly who: string;
}

/** A migrate or HMM array that somebody fills or reads at the moment. */
export interface HeldArray {
  readonly kind: "migrate" | "hmm";
  readonly array: Int32Array;
  /** Entries, of two words each. */
  readonly entries: number;
  readonly who: string;
}

/** What a device believes of a process: the page at each page number, and whether it may write there. */
export interface HeldMirror {
  readonly mm: Ref;
  readonly entries: Iterable<{
    readonly vpn: number;
    readonly page: number;
    readonly write: boolean;
  }>;
  readonly who: string;
}

/** What somebody outside holds. */
export interface Holdings {
  /** Folios, of devices too: a device-private page is named by its own number. */
  readonly folios?: Iterable<HeldFolio>;
  readonly pagemaps?: Iterable<HeldPagemap>;
  readonly arrays?: Iterable<HeldArray>;
  readonly mirrors?: Iterable<HeldMirror>;
  /** Blocks that are no folios: a driver's, vmalloc's. */
  readonly blocks?: Iterable<HeldBlock>;
}

export interface VmaView {
  readonly vma: Ref;
  readonly start: number;
  readonly end: number;
  readonly flags: number;
  readonly pgoff: number;
}

/** An address space: its VMAs in order of their list, its tables, its entries. */
export interface MmView extends TablesView {
  readonly mm: Ref;
  /** Number of its process; −1 where no process has it. */
  readonly pid: number;
  readonly id: number;
  readonly vmas: readonly VmaView[];
}

/** One mapping of a folio. */
export interface Mapping {
  readonly mm: MmView;
  readonly entry: EntryView;
  /** Page of the folio; 0 for all of it by a PMD. */
  readonly page: number;
}

/** A folio, found by its frame, and everything that names it. */
export interface FolioView {
  readonly ref: Ref;
  /** First frame, or first page of a device-private folio. */
  readonly pfn: number;
  readonly order: number;
  readonly type: PageType;
  readonly mappings: Mapping[];
  /** Times each page is mapped by an entry of its own. */
  readonly ptes: Int32Array;
  /** Times the whole is mapped by a PMD. */
  pmds: number;
  /** Pages in a file's cache. */
  cached: number;
  /** Swap slots that it stands for. */
  slots: number;
  /** Migration entries that wait for it. */
  migrating: number;
  refs: number;
  pins: number;
  readonly holders: string[];
}
