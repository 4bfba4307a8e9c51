/**
 * One walk over the page tables of a process: every table, every entry.
 *
 * What does not look like a table is not followed, so that a broken entry is
 * reported by the rules and does not lead the walk astray.
 */
import type { Ref } from "../../../units.js";
import { T_PGTABLE } from "../../design/word/axis-types.js";
import type { Base } from "../../process/base.js";
import { PMD_HUGE, PTE_THERE, ptePfn } from "../../process/entry.js";

const ENTRIES = 512;
/** Bits of a page number below each level's index: PTE, PMD, PUD, PGD. */
const SHIFT = [0, 9, 18, 27];
const TOP = 3;
const NONE = 0 as Ref;

/** One table of a process. */
export interface TableView {
  readonly table: Ref;
  /** Frame; −1 where the reference is none of the heap's. */
  readonly pfn: number;
  /** 0 PTE … 3 PGD. */
  readonly level: number;
  /** First page that it is over, and the one after its last. */
  readonly start: number;
  readonly end: number;
  /** Kept for a huge entry, leads to nothing. */
  readonly deposited: boolean;
}

/** One entry that is not empty, of a PTE table or a huge one of a PMD table. */
export interface EntryView {
  readonly vpn: number;
  readonly lo: number;
  readonly hi: number;
  /** In a PMD table. */
  readonly huge: boolean;
  /** There is a page: present or PROT_NONE. */
  readonly there: boolean;
  /** Frame, where there is one; else −1. */
  readonly pfn: number;
  readonly table: Ref;
  readonly off: number;
}

export interface TablesView {
  readonly tables: readonly TableView[];
  readonly entries: readonly EntryView[];
  /** Entries that lead to what is no table: page number and why. */
  readonly broken: readonly { readonly vpn: number; readonly pfn: number; readonly why: string }[];
}

/** Walks all tables of an address space. */
export function walkTables(base: Base, mm: Ref): TablesView {
  const tables: TableView[] = [];
  const entries: EntryView[] = [];
  const broken: { vpn: number; pfn: number; why: string }[] = [];
  const { machine, design } = base.core;
  const { w } = base;

  const known = new Set<Ref>();
  const enter = (table: Ref, level: number, start: number, deposited: boolean): boolean => {
    const pfn = machine.heap.frameOf(table);
    if (pfn < 0 || design.typeOf(pfn) !== T_PGTABLE) {
      broken.push({
        vpn: start,
        pfn,
        why: pfn < 0 ? "leads out of the heap" : `leads to a page of type ${design.typeOf(pfn)}`,
      });
      return false;
    }
    if (known.has(table)) {
      broken.push({ vpn: start, pfn, why: "leads to a table that another entry leads to" });
      return false;
    }
    known.add(table);
    tables.push({ table, pfn, level, start, end: start + 2 ** SHIFT[level] * ENTRIES, deposited });
    return true;
  };

  const leaf = (table: Ref, off: number, vpn: number, huge: boolean): void => {
    const lo = w.load64(table, off);
    const hi = w.hi;
    if ((lo | hi) === 0) return;
    const there = (lo & PTE_THERE) !== 0;
    const pfn = there ? ptePfn(huge ? lo & ~PMD_HUGE : lo, hi) : -1;
    entries.push({ vpn, lo, hi, huge, there, pfn, table, off });
  };

  const walk = (table: Ref, level: number, start: number): void => {
    for (let i = 0; i < ENTRIES; i++) {
      const off = i << 3;
      const vpn = start + i * 2 ** SHIFT[level];
      if (level === 0) {
        leaf(table, off, vpn, false);
        continue;
      }
      const lo = w.load64(table, off);
      if ((lo | w.hi) === 0) continue;
      const below = base.tables.below(table, off);
      if (below !== NONE) {
        if (enter(below, level - 1, vpn, false)) walk(below, level - 1, vpn);
      } else if (level === 1) leaf(table, off, vpn, true);
      else broken.push({ vpn, pfn: -1, why: `is no table at level ${level}` });
    }
    if (level === 1) deposits(table, start);
  };

  /** The PTE tables kept for huge entries, at most one more than there can be. */
  const deposits = (table: Ref, start: number): void => {
    const { pmdHugePte, deposited } = design.ptdesc;
    let at = base.core.pointer(base.tables.descriptor(table), pmdHugePte);
    for (let n = 0; at !== NONE && n <= ENTRIES; n++) {
      if (!enter(at, 0, start, true)) return;
      at = base.core.pointer(base.tables.descriptor(at), deposited);
    }
  };

  const pgd = base.tables.pgd(mm);
  if (enter(pgd, TOP, 0, false)) walk(pgd, TOP, 0);
  return { tables, entries, broken };
}
