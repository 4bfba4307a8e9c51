/**
 * migrate_vma_insert_page: places of a process that have no page get one of the
 * device, as if it had been there before.
 *
 * Only anonymous memory, only where nothing came in between, and not where a
 * userfaultfd wants to hear of missing pages. Whoever mirrors the range is told
 * once, from the first such place to the end.
 *
 * Source: mm/migrate_device.c of the mm tree of July 2026
 * (migrate_vma_insert_page, migrate_vma_insert_huge_pmd_page); device-facts §5.2.
 */
import { MAPPING_ANON, PG_SWAPBACKED, PG_UPTODATE } from "../design/word/axis-flags.js";
import { MM_MEMCG, MM_RSS_ANON } from "../layout/generated/offsets.js";
import type { Ref } from "../../units.js";
import type { Base } from "../process/base.js";
import { PMD_ORDER, PMD_PAGES, VM_WRITE } from "../process/constants.js";
import {
  PMD_HUGE,
  pteHigh,
  pteLow,
  ptePfn,
  PTE_DIRTY,
  PTE_THERE,
  PTE_WRITE,
} from "../process/entry.js";
import { MMU_NOTIFY_MIGRATE } from "../process/notifier/events.js";
import { pmdAt, pteAt } from "../process/page-tables.js";
import { pteNx, pteRights } from "../process/protection.js";
import type { MigrateVmaArgs } from "./migrate-args.js";
import { flagsAt, MIGRATE_PFN_COMPOUND, type MigratePfns } from "./migrate-pfn.js";
import type { Moves } from "./moves.js";
import type { Pagemaps } from "./pagemaps.js";
import { MEMORY_DEVICE_COHERENT, MEMORY_DEVICE_PRIVATE } from "./kinds.js";
import type { Side } from "./side.js";

const NONE = 0 as Ref;

export class HoleFill {
  readonly base: Base;
  readonly moves: Moves;
  readonly pfns: MigratePfns;
  readonly pagemaps: Pagemaps;
  ownerId: (owner: object | null) => number = () => 0;
  /** userfaultfd_missing: whether somebody wants to hear of what a VMA lacks. */
  missing: (vma: Ref) => boolean = () => false;
  /** First page of the range that was told of; −1 for none. */
  #told = -1;

  constructor(base: Base, moves: Moves, pfns: MigratePfns, pagemaps: Pagemaps) {
    this.base = base;
    this.moves = moves;
    this.pfns = pfns;
    this.pagemaps = pagemaps;
  }

  begin(_args: MigrateVmaArgs): void {
    this.#told = -1;
  }

  end(args: MigrateVmaArgs): void {
    const { notifiers, vmas } = this.base;
    if (this.#told >= 0) notifiers.end(vmas.mm(args.vma), this.#told, args.end);
    this.#told = -1;
  }

  #tell(args: MigrateVmaArgs, vpn: number): void {
    const { notifiers, vmas } = this.base;
    if (notifiers.any === 0 || this.#told >= 0) return;
    this.#told = vpn;
    const owner = this.ownerId(args.owner);
    notifiers.start(vmas.mm(args.vma), vpn, args.end, MMU_NOTIFY_MIGRATE, owner);
  }

  /** Puts page `to` at entry `i`, which has none; false where it may not be or somebody was quicker. */
  fill(args: MigrateVmaArgs, i: number, to: number): boolean {
    const { vmas, anonVmas } = this.base;
    const { vma } = args;
    const vpn = args.start + i;
    this.#tell(args, vpn);
    if (vmas.file(vma) !== NONE || vmas.ops(vma) !== 0) return false;
    if (!this.#mayMap(to)) return false;
    if (anonVmas.of(vma) === NONE && anonVmas.prepare(vma, vmas.nearAnonVma(vma)) !== 0)
      return false;
    const large = (flagsAt(args.dst, i) & MIGRATE_PFN_COMPOUND) !== 0;
    if (large && (flagsAt(args.src, i) & MIGRATE_PFN_COMPOUND) === 0) return false;
    if (this.missing(vma)) return false;
    return large ? this.#fillPmd(vma, vpn, to) : this.#fillPte(vma, vpn, to);
  }

  /** Pages of RAM, private and coherent ones; no other kind of a device's. */
  #mayMap(to: number): boolean {
    if (to < this.base.core.machine.deviceFirst) return true;
    const type = this.pagemaps.ofPage(to)?.type ?? 0;
    return type === MEMORY_DEVICE_PRIVATE || type === MEMORY_DEVICE_COHERENT;
  }

  /** The folio becomes the VMA's, not mapped yet; false where its cgroup has no room. */
  #own(side: Side, folio: Ref, to: number, order: number, vma: Ref, vpn: number): boolean {
    const { w, vmas, core, memcgs, anonVmas, rmap } = this.base;
    const memcg = w.load32(vmas.mm(vma), MM_MEMCG) as Ref;
    if (memcg !== NONE && core.pointer(folio, side.folios.layout.memcg) === NONE) {
      if (!memcgs.charge(memcg, 1 << order)) return false;
      core.setPointer(folio, side.folios.layout.memcg, memcg);
      if (!side.isPrivate) memcgs.chargeDescriptor(memcg, to, order, 1);
    }
    side.folios.set(folio, PG_UPTODATE | PG_SWAPBACKED);
    side.folios.setMapping(folio, anonVmas.of(vma), MAPPING_ANON);
    side.folios.setIndex(folio, rmap.index(vma, vpn));
    return true;
  }

  #fillPte(vma: Ref, vpn: number, to: number): boolean {
    const { w, tables, vmas, core } = this.base;
    const mm = vmas.mm(vma);
    const pmds = tables.ensurePmd(mm, vpn);
    if (pmds === NONE || !this.#isOpen(mm, pmds, vpn)) return false;
    const table = tables.ensurePte(mm, vpn);
    if (table === NONE) return false;
    const side = this.moves.sideOf(to);
    const folio = side.folioOf(to);
    const desc = tables.lock(table);
    const off = pteAt(vpn);
    const lo = w.load64(table, off);
    const hi = w.hi;
    const empty = (lo | hi) === 0 || ((lo & PTE_THERE) !== 0 && core.isZeroPage(ptePfn(lo, hi)));
    if (!empty || !this.#own(side, folio, to, 0, vma, vpn)) {
      tables.unlock(desc);
      return false;
    }
    side.counts.addPtes(folio, to, 0, 1, side.counts.mmId(vma));
    side.pages.setExclusive(to, true);
    side.folios.get(folio);
    w.add32(mm, MM_RSS_ANON, 1);
    this.#store(side, table, off, to, vmas.flags(vma), false);
    tables.unlock(desc);
    return true;
  }

  /** The PMD entry is empty, leads to a table, or is the huge zero page, which is split. */
  #isOpen(mm: Ref, pmds: Ref, vpn: number): boolean {
    const { w, core, zap, tables } = this.base;
    const lo = w.load64(pmds, pmdAt(vpn));
    const hi = w.hi;
    if ((lo | hi) === 0 || tables.below(pmds, pmdAt(vpn)) !== NONE) return true;
    if ((lo & PTE_THERE) === 0 || !core.isHugeZero(ptePfn(lo & ~PMD_HUGE, hi))) return false;
    // Of the zero page nobody counts mappings; who mirrors the range has been told.
    return zap.splitTold(mm, 0, pmds, vpn) === 0;
  }

  #fillPmd(vma: Ref, vpn: number, to: number): boolean {
    const { w, tables, vmas, core } = this.base;
    const mm = vmas.mm(vma);
    const pmds = tables.ensurePmd(mm, vpn);
    if (pmds === NONE) return false;
    const off = pmdAt(vpn);
    const lo = w.load64(pmds, off);
    const hi = w.hi;
    const zero = (lo & PTE_THERE) !== 0 && core.isHugeZero(ptePfn(lo & ~PMD_HUGE, hi));
    if ((lo | hi) !== 0 && !zero) return false;
    const side = this.moves.sideOf(to);
    const folio = side.folioOf(to);
    // The huge zero page has a table deposited already.
    const table = zero ? NONE : tables.alloc(mm);
    if (!zero && table === NONE) return false;
    if (!this.#own(side, folio, to, PMD_ORDER, vma, vpn)) {
      if (table !== NONE) tables.free(mm, table);
      return false;
    }
    const desc = tables.lock(pmds);
    if (table !== NONE) tables.deposit(desc, table);
    side.counts.addPmd(folio, side.counts.mmId(vma));
    side.pages.setExclusive(to, true);
    side.folios.get(folio);
    w.add32(mm, MM_RSS_ANON, PMD_PAGES);
    this.#store(side, pmds, off, to, vmas.flags(vma), true);
    tables.unlock(desc);
    return true;
  }

  #store(side: Side, table: Ref, off: number, to: number, flags: number, huge: boolean): void {
    const { w } = this.base;
    const write = (flags & VM_WRITE) !== 0;
    if (side.isPrivate) {
      const { numbers } = this.moves;
      w.store64(table, off, numbers.privateEntry(to, write), numbers.hi);
      return;
    }
    const bits =
      pteRights(flags, false) | (huge ? PMD_HUGE : 0) | (write ? PTE_WRITE | PTE_DIRTY : 0);
    w.store64(table, off, pteLow(to, bits), pteHigh(to) | pteNx(flags));
  }
}
