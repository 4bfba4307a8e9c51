/**
 * Splitting folios of device-private memory: mapped ones, through migration
 * entries as any folio, and ones that a migration has unmapped already.
 *
 * The driver is told of every part, and of the head at the end, so that what it
 * keeps for the pages is cut along. The page of a fault keeps its lock and its
 * reference, in whichever part it lies.
 *
 * Source: mm/huge_memory.c of the mm tree of July 2026 (__folio_split,
 * folio_split_unmapped, zone_device_private_split_cb), mm/migrate_device.c
 * (migrate_vma_split_folio); device-facts §5.1.
 */
import {
  PG_DIRTY,
  PG_LOCKED,
  PG_REFERENCED,
  PG_SWAPBACKED,
  PG_UPTODATE,
} from "../design/word/axis-flags.js";
import type { Ref } from "../../units.js";
import type { Base } from "../process/base.js";
import { EAGAIN, EBUSY, EINVAL, ENOMEM } from "./kinds.js";
import type { Moves } from "./moves.js";
import type { Pagemaps } from "./pagemaps.js";
import type { ZoneDevice } from "./zone-device.js";

const NONE = 0 as Ref;
/** Flags that every part keeps. */
const KEPT = PG_DIRTY | PG_UPTODATE | PG_SWAPBACKED | PG_REFERENCED | PG_LOCKED;

export class PrivateSplits {
  readonly base: Base;
  readonly moves: Moves;
  readonly pagemaps: Pagemaps;
  readonly zoneDevice: ZoneDevice;

  constructor(base: Base, moves: Moves, pagemaps: Pagemaps, zoneDevice: ZoneDevice) {
    this.base = base;
    this.moves = moves;
    this.pagemaps = pagemaps;
    this.zoneDevice = zoneDevice;
  }

  /**
   * split_folio_to_order of a mapped folio, whose lock and one reference the caller
   * has: of its first part afterwards, or of that of `faultPage` (−1 for none), whose
   * handler has another one. 0 or EAGAIN, EBUSY, EINVAL, ENOMEM with nothing changed.
   */
  split(folio: Ref, newOrder: number, faultPage = -1): number {
    const { folios, counts, pages } = this.moves.privates;
    const page = folios.pageOf(folio);
    const order = pages.orderOf(page);
    if (newOrder >= order || newOrder === 1) return EINVAL;
    if (!folios.isAnon(folio)) return EBUSY;
    const held = 1 + (faultPage >= 0 ? 1 : 0);
    if (folios.refcount(folio) !== counts.total(folio, order) + held) return EAGAIN;
    this.#spreadPmds(folio, order);
    if (!this.moves.unmap(folio, page, order) || !folios.freeze(folio, held)) {
      this.moves.restore(page, page, order);
      return EAGAIN;
    }
    if (!this.#cut(folio, page, order, newOrder)) {
      folios.unfreeze(folio, held);
      this.moves.restore(page, page, order);
      return ENOMEM;
    }
    this.#count(page, order, newOrder, faultPage, 1);
    for (let at = page; at < page + (1 << order); at += 1 << newOrder)
      this.moves.restore(at, at, newOrder);
    this.#letGo(page, order, newOrder, faultPage);
    return 0;
  }

  /** Huge entries become single ones, so that each part finds its own again. */
  #spreadPmds(folio: Ref, order: number): void {
    const { rmap, zap, counts, tables } = this.base;
    const { folios } = this.moves.privates;
    rmap.walkMapping(
      folios.mapping(folio),
      true,
      folios.index(folio),
      1 << order,
      (vma, mm, vpn) => {
        const pmds = tables.pmdTable(mm, vpn);
        if (pmds !== NONE) zap.splitDevicePmd(mm, counts.mmId(vma), pmds, vpn);
        return true;
      },
    );
  }

  /**
   * folio_split_unmapped: nothing maps the folio, and the caller has `refs`
   * references and its lock; every part is locked and held once afterwards, that of
   * `faultPage` as often as its handler needs.
   */
  splitUnmapped(folio: Ref, faultPage: number): number {
    const { folios, pages } = this.moves.privates;
    const page = folios.pageOf(folio);
    const order = pages.orderOf(page);
    const held = 1 + (faultPage >= 0 ? 1 : 0);
    if (!folios.freeze(folio, held)) return EAGAIN;
    if (!this.#cut(folio, page, order, 0)) {
      folios.unfreeze(folio, held);
      return ENOMEM;
    }
    this.#count(page, order, 0, faultPage, 1);
    return 0;
  }

  /** Records of the parts, with what the whole said; false without memory, with nothing changed. */
  #cut(folio: Ref, page: number, order: number, newOrder: number): boolean {
    const { base } = this;
    const { w } = base;
    const { record } = this.zoneDevice.of(page);
    const { folios } = this.moves.privates;
    const map = this.pagemaps.mapOfFolio(folio, record);
    const flags = folios.flags(folio) & KEPT;
    const mapping = folios.mapping(folio);
    const bits = folios.mappingBits(folio);
    const index = folios.index(folio);
    const memcg = base.core.pointer(folio, record.layout.memcg);
    const data = w.load32(record.home(folio), record.dataAt);
    if (!record.split(page, order, newOrder, map.zone)) return false;
    this.zoneDevice.cutting = true;
    for (let at = page; at < page + (1 << order); at += 1 << newOrder) {
      const part = record.folioOf(at);
      folios.set(part, flags);
      folios.setMapping(part, mapping, bits);
      folios.setIndex(part, index + at - page);
      base.core.setPointer(part, record.layout.memcg, memcg);
      record.setPgmap(part, map.words);
      w.store32(record.home(part), record.dataAt, data);
      if (at > page) {
        // Each part stands for itself in the map's count from now on.
        map.tryGet(this.zoneDevice.extraRefs(map), true);
        map.ops.folioSplit?.(page, at);
      }
    }
    map.orders?.split(map.offsetOf(page), order, newOrder);
    this.zoneDevice.rows.split(page, order, newOrder);
    map.ops.folioSplit?.(page, null);
    this.zoneDevice.cutting = false;
    return true;
  }

  /** References of the parts: the caller's on each, the handler's on that of the fault. */
  #count(page: number, order: number, newOrder: number, faultPage: number, each: number): void {
    const { privates } = this.moves;
    for (let at = page; at < page + (1 << order); at += 1 << newOrder) {
      const isFaults = faultPage >= at && faultPage < at + (1 << newOrder);
      privates.folios.unfreeze(privates.folioOf(at), each + (isFaults ? 1 : 0));
    }
  }

  /** All parts but one are unlocked and let go. */
  #letGo(page: number, order: number, newOrder: number, faultPage: number): void {
    const { privates } = this.moves;
    const keeps = faultPage >= 0 ? faultPage : page;
    for (let at = page; at < page + (1 << order); at += 1 << newOrder) {
      if (keeps >= at && keeps < at + (1 << newOrder)) continue;
      const part = privates.folioOf(at);
      privates.folios.unlock(part);
      privates.folios.put(part);
    }
  }
}
