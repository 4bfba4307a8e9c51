/**
 * Four-level page tables in simulated memory.
 *
 * A table is a page of type page-table with its descriptor, its 512 entries
 * words in the arena. Entries that lead to a table hold its address in the arena,
 * which stands for its address in the direct map; the last level holds frames.
 * A table is locked through its descriptor, so that what a descriptor lookup
 * costs is part of every fault. Tables come when they are needed and go when no
 * VMA is left over them.
 *
 * Source: mm/memory.c (free_pgtables, __pte_alloc), pgtable-generic.c
 * (pgtable_trans_huge_deposit) of 6.18. Facts: memdesc-facts §1.4 (a page table
 * has no reference count).
 */
import type { Ref } from "../../units.js";
import { MM_PGD, MM_PGTABLES_BYTES } from "../layout/generated/offsets.js";
import { T_PGTABLE } from "../design/word/axis-types.js";
import { ALLOC_LOW } from "../pages/allocator.js";
import { addressHigh, addressLow, type Words } from "../words/words.js";
import type { Core } from "./core.js";
import { PMD_HUGE, PTE_THERE, TABLE_FLAGS } from "./entry.js";
import { spinLock, spinUnlock } from "./locks.js";

const ENTRIES = 512;
const TABLE_BYTES = 4096;
/** Bits of a page number below each level's index: PTE, PMD, PUD, PGD. */
const SHIFT = [0, 9, 18, 27];
const TOP = 3;
const EMPTY = new Int32Array(4);

/** Byte offset of the entry for page `vpn` in a PTE table. */
export const pteAt = (vpn: number): number => (vpn & 511) << 3;
/** The same in a PMD table. */
export const pmdAt = (vpn: number): number => ((vpn >>> 9) & 511) << 3;

export class PageTables {
  readonly core: Core;
  readonly w: Words;

  constructor(core: Core) {
    this.core = core;
    this.w = core.w;
  }

  /** An empty table of `mm`; 0 without memory. */
  alloc(mm: Ref, effort: number = ALLOC_LOW): Ref {
    const table = this.allocTop(mm, effort);
    if (table !== 0) this.w.add32(mm, MM_PGTABLES_BYTES, TABLE_BYTES);
    return table;
  }

  /** The same for the uppermost one, which is not among those that mm_pgtables_bytes counts. */
  allocTop(mm: Ref, effort: number = ALLOC_LOW): Ref {
    const { machine, w, design } = this.core;
    if (!machine.heap.hasRoom(1)) return 0 as Ref;
    let pfn = machine.allocTyped(0, T_PGTABLE, effort);
    while (pfn < 0 && machine.onPressure()) pfn = machine.allocTyped(0, T_PGTABLE, effort);
    if (pfn < 0 || !machine.heap.hasRoom(1)) {
      if (pfn >= 0) machine.freeTyped(pfn);
      return 0 as Ref;
    }
    const table = machine.heap.take(pfn, 1);
    w.fillRun(table, 0, EMPTY, TABLE_BYTES / 16, null, 0, 0);
    const desc = design.descriptorOf(pfn);
    const { ptl, mm: owner, pmdHugePte, deposited } = design.ptdesc;
    w.store32(desc, ptl, 0);
    this.core.setPointer(desc, pmdHugePte, 0 as Ref);
    this.core.setPointer(desc, deposited, 0 as Ref);
    this.core.setPointer(desc, owner, mm);
    return table;
  }

  /** Gives a table back: words first, then the page. */
  free(mm: Ref, table: Ref): void {
    this.freeTop(table);
    this.w.add32(mm, MM_PGTABLES_BYTES, -TABLE_BYTES);
  }

  freeTop(table: Ref): void {
    const { machine } = this.core;
    const pfn = machine.heap.frameOf(table);
    machine.heap.give(table, 1);
    machine.freeTyped(pfn);
  }

  /** Descriptor of a table. */
  descriptor(table: Ref): Ref {
    return this.core.design.descriptorOf(this.core.machine.heap.frameOf(table));
  }

  lock(table: Ref): Ref {
    const desc = this.descriptor(table);
    spinLock(this.w, desc, this.core.design.ptdesc.ptl);
    return desc;
  }

  /** Takes what `lock` returned. */
  unlock(desc: Ref): void {
    spinUnlock(this.w, desc, this.core.design.ptdesc.ptl);
  }

  /** Table that an entry leads to; 0 where it is empty or maps a huge page. */
  below(table: Ref, off: number): Ref {
    const lo = this.w.load64(table, off);
    if ((lo & (PTE_THERE | PMD_HUGE)) !== 1) return 0 as Ref;
    return (((lo & ~4095) >>> 4) | (this.w.hi << 28)) as Ref;
  }

  pgd(mm: Ref): Ref {
    return this.core.pointer(mm, MM_PGD);
  }

  /** PMD table over a page; 0 if there is none. */
  pmdTable(mm: Ref, vpn: number): Ref {
    const pud = this.below(this.pgd(mm), (vpn >>> 27) << 3);
    return pud === 0 ? pud : this.below(pud, ((vpn >>> 18) & 511) << 3);
  }

  /** PTE table over a page; 0 if there is none, also where a huge page is mapped. */
  pteTable(mm: Ref, vpn: number): Ref {
    const pmd = this.pmdTable(mm, vpn);
    return pmd === 0 ? pmd : this.below(pmd, pmdAt(vpn));
  }

  /** The same, made where it is missing; 0 without memory. */
  ensurePmd(mm: Ref, vpn: number): Ref {
    const pud = this.#ensure(mm, this.pgd(mm), (vpn >>> 27) << 3);
    return pud === 0 ? pud : this.#ensure(mm, pud, ((vpn >>> 18) & 511) << 3);
  }

  /** The entry must not map a huge page. */
  ensurePte(mm: Ref, vpn: number): Ref {
    const table = this.pteTable(mm, vpn);
    if (table !== 0) return table;
    const pmd = this.ensurePmd(mm, vpn);
    return pmd === 0 ? pmd : this.#ensure(mm, pmd, pmdAt(vpn));
  }

  #ensure(mm: Ref, table: Ref, off: number): Ref {
    const there = this.below(table, off);
    if (there !== 0) return there;
    const fresh = this.alloc(mm);
    if (fresh === 0) return fresh;
    // Another thread may have been quicker: its table stays.
    const desc = this.lock(table);
    const other = this.below(table, off);
    if (other === 0) this.setTable(table, off, fresh);
    this.unlock(desc);
    if (other === 0) return fresh;
    this.free(mm, fresh);
    return other;
  }

  /** Makes an entry lead to a table. */
  setTable(table: Ref, off: number, to: Ref): void {
    this.w.store64(table, off, addressLow(to) | TABLE_FLAGS, addressHigh(to));
  }

  /** pgtable_trans_huge_deposit: keeps a PTE table for when the huge entry is split. Called with the PMD's lock. */
  deposit(pmdDesc: Ref, table: Ref): void {
    const { pmdHugePte, deposited } = this.core.design.ptdesc;
    this.core.setPointer(this.descriptor(table), deposited, this.core.pointer(pmdDesc, pmdHugePte));
    this.core.setPointer(pmdDesc, pmdHugePte, table);
  }

  /** pgtable_trans_huge_withdraw */
  withdraw(pmdDesc: Ref): Ref {
    const { pmdHugePte, deposited } = this.core.design.ptdesc;
    const table = this.core.pointer(pmdDesc, pmdHugePte);
    const desc = this.descriptor(table);
    this.core.setPointer(pmdDesc, pmdHugePte, this.core.pointer(desc, deposited));
    this.core.setPointer(desc, deposited, 0 as Ref);
    return table;
  }

  /**
   * free_pgtables: gives back the tables under pages `start` … `end` that lie
   * wholly between `floor` and `ceiling`, where no other VMA is. Entries are
   * empty already.
   */
  freeRange(mm: Ref, start: number, end: number, floor: number, ceiling: number): void {
    this.#freeLevel(mm, this.pgd(mm), TOP, start, end, floor, ceiling);
  }

  #freeLevel(
    mm: Ref,
    table: Ref,
    level: number,
    start: number,
    end: number,
    floor: number,
    ceiling: number,
  ): void {
    const size = 2 ** SHIFT[level];
    for (let at = start - (start % size); at < end; at += size) {
      const off = (Math.floor(at / size) % ENTRIES) << 3;
      const lower = this.below(table, off);
      if (lower === 0) continue;
      if (level > 1)
        this.#freeLevel(
          mm,
          lower,
          level - 1,
          Math.max(at, start),
          Math.min(at + size, end),
          floor,
          ceiling,
        );
      if (at < floor || at + size > ceiling) continue;
      this.w.store64(table, off, 0, 0);
      this.free(mm, lower);
    }
  }

  /** Whether a PTE table has no entry: collapse and sanity checks ask. */
  isEmpty(table: Ref): boolean {
    for (let i = 0; i < ENTRIES; i++)
      if ((this.w.load64(table, i << 3) | this.w.hi) !== 0) return false;
    return true;
  }
}
