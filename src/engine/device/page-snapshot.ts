/**
 * snapshot_page: what a page is at one moment, for readers that hold neither lock nor
 * reference (/proc/kpageflags, dump_page), and whether the look was undisturbed.
 *
 * The page's number goes with its kind: of a frame it is a pfn, of a device-private
 * page whatever the naming says, and only of a pfn may be asked whether it is the
 * zero page's. Who says so is a choice. In the series the snapshot has the number,
 * and a flag for its kind; the reviewer would have the caller choose the number, who
 * has the page and needs no flag (`who`). Both give the same answers.
 *
 * An idle page of a device is not touched beyond the question whether it is idle.
 *
 * Source: mm/util.c (snapshot_page, set_ps_flags), include/linux/mm.h
 * (PAGE_SNAPSHOT_FAITHFUL, _PG_BUDDY), fs/proc/page.c (stable_page_flags) of 6.18;
 * PAGE_SNAPSHOT_DEVICE_PRIVATE: device-facts §2.3 patch 11, §2.5. Simplified: fields
 * that are asked for are read, not 192 bytes copied; no idle-page bit.
 */
import type { DeviceNaming } from "../design/device-name/axis.js";
import { isFolioType, T_BUDDY } from "../design/word/axis-types.js";
import type { Ref } from "../../units.js";
import type { Base } from "../process/base.js";
import { PMD_ORDER } from "../process/constants.js";
import { IN_SNAPSHOT, TOLD_BY_STRUCT, TOLD_NOTHING } from "../process/number-witness.js";
import { MEMORY_DEVICE_PRIVATE, MEMORY_TYPE_NAMES } from "./kinds.js";
import type { Mutants } from "./mutants.js";
import type { DevPagemap } from "./pagemap.js";
import type { Pagemaps } from "./pagemaps.js";
import type { Side } from "./side.js";
import type { ZoneDevice } from "./zone-device.js";

/** Nothing changed while the page was looked at. */
export const PAGE_SNAPSHOT_FAITHFUL = 1 << 0;
/** A page of a free block. */
export const PAGE_SNAPSHOT_PG_BUDDY = 1 << 1;
/** The number is not a pfn. */
export const PAGE_SNAPSHOT_DEVICE_PRIVATE = 1 << 3;

/** Looks before it is given up that nothing changes. */
const LOOKS = 5;
const NONE = 0 as Ref;

export type PageSnapshotKind = "ram" | (typeof MEMORY_TYPE_NAMES)[number];

/** struct page_snapshot */
export interface PageSnapshot {
  readonly kind: PageSnapshotKind;
  /** Number of the page, low 32 bits and what is above: a pfn unless `kind` and naming say otherwise. */
  readonly low: number;
  readonly high: number;
  /** PAGE_SNAPSHOT_… */
  readonly flags: number;
  readonly isZero: boolean;
  readonly isHugeZero: boolean;
  /** Of the folio that it belongs to, or the block. */
  readonly order: number;
  /** Place in it. */
  readonly index: number;
  /** 0 for what is idle or free; null where nothing counts. */
  readonly refcount: number | null;
  readonly mapcount: number | null;
}

/** What a snapshot needs of `Devices`. */
export interface SnapshotContext {
  readonly base: Base;
  readonly naming: DeviceNaming;
  readonly pagemaps: Pagemaps;
  readonly zoneDevice: ZoneDevice;
  readonly mutants: Mutants;
  readonly firstPrivate: number;
  sideOf(page: number): Side;
}

/** Snapshot of a frame or a device-private page. Takes `Devices`; `who` chooses the page's number. */
export function snapshotPage(
  devices: SnapshotContext,
  page: number,
  who: "snapshot" | "caller",
): PageSnapshot {
  const seen = look(devices, page);
  const own = page >= devices.firstPrivate && devices.naming.ownKind;
  const number = numberOf(devices, page);
  // The caller, who has the page, needs no flag to know of what kind its number is.
  const flag = own && who === "snapshot" ? PAGE_SNAPSHOT_DEVICE_PRIVATE : 0;
  // A page's number may be tested only where it is a pfn. As it was: any number.
  const tests = number.low >= 0 && (!own || devices.mutants.zeroPfn);
  const { core } = devices.base;
  tell(devices, page, number, own, tests);
  return {
    ...seen,
    ...number,
    flags: seen.flags | flag,
    kind: kindOf(devices, page),
    isZero: tests && core.isZeroPage(number.low),
    isHugeZero: tests && core.isHugeZero(number.low & (-1 << PMD_ORDER)),
  };
}

/** In checked runs: the number that was made, and that it was tested. */
function tell(
  devices: SnapshotContext,
  page: number,
  { low, high }: { low: number; high: number },
  own: boolean,
  tests: boolean,
): void {
  const { witness } = devices.base.core;
  if (witness === null || low < 0) return;
  witness.made(IN_SNAPSHOT, low, high, page);
  const told = own ? TOLD_NOTHING : TOLD_BY_STRUCT;
  if (tests) witness.read(IN_SNAPSHOT, told, page >= devices.firstPrivate && !own, low, high, page);
}

/** The map that has a page of a device, in service or idle. */
function mapAt({ pagemaps, firstPrivate }: SnapshotContext, page: number): DevPagemap | null {
  if (page < firstPrivate) return pagemaps.ofFrame(page);
  for (const map of pagemaps.maps.values())
    if (map.type === MEMORY_DEVICE_PRIVATE && map.offsetOf(page) >= 0) return map;
  return null;
}

function kindOf(devices: SnapshotContext, page: number): PageSnapshotKind {
  if (page < devices.base.core.machine.deviceFirst) return "ram";
  return MEMORY_TYPE_NAMES[mapAt(devices, page)?.type ?? 0];
}

/** page_to_pfn, or device_private_page_to_offset; −1 for a page of no map. */
function numberOf(devices: SnapshotContext, page: number): { low: number; high: number } {
  if (page < devices.firstPrivate) return { low: page, high: 0 };
  const map = mapAt(devices, page);
  if (map === null) return { low: -1, high: 0 };
  const { naming } = devices;
  return { low: naming.numberLow(page, map.words), high: naming.numberHigh(page, map.words) };
}

type Seen = Pick<PageSnapshot, "flags" | "order" | "index" | "refcount" | "mapcount">;

/** The fields, read until they stay the same from first to last. */
function look(devices: SnapshotContext, page: number): Seen {
  let seen = once(devices, page);
  for (let looks = 1; looks < LOOKS; looks++) {
    const again = once(devices, page);
    if (same(seen, again)) return { ...seen, flags: seen.flags | PAGE_SNAPSHOT_FAITHFUL };
    seen = again;
  }
  // Taken for a page by itself: nothing more is known.
  return { flags: 0, order: 0, index: 0, refcount: seen.refcount, mapcount: null };
}

const same = (a: Seen, b: Seen): boolean =>
  a.flags === b.flags && a.order === b.order && a.index === b.index;

const IDLE: Seen = { flags: 0, order: 0, index: 0, refcount: 0, mapcount: 0 };

function once(devices: SnapshotContext, page: number): Seen {
  const { core } = devices.base;
  const { design } = core;
  const isDevice = page >= core.machine.deviceFirst;
  if (isDevice && devices.zoneDevice.refcountOf(page) === 0) return IDLE;
  const side = devices.sideOf(page);
  if (!isDevice && !isFolioType(design.typeOf(page))) {
    const free = design.typeOf(page) === T_BUDDY;
    const flags = free ? PAGE_SNAPSHOT_PG_BUDDY : 0;
    return { ...block(side, page), flags, refcount: free ? 0 : null, mapcount: null };
  }
  const folio = side.folioOf(page);
  if (folio === NONE) return IDLE;
  const at = block(side, page);
  return {
    ...at,
    flags: 0,
    refcount: side.folios.refcount(folio),
    mapcount: side.counts.total(folio, at.order),
  };
}

function block({ pages }: Side, page: number): { order: number; index: number } {
  return { order: pages.orderOf(page), index: page - pages.blockOf(page) };
}
