/**
 * Device memory of a kernel as the rules look at it: which page maps there are, which
 * folios of theirs are in service, and what an entry of a page table leads to.
 *
 * Nothing is taken from a count that could be wrong: folios are found page by page in the
 * records, and an entry's number is followed through the naming alone.
 */
import type { Ref } from "../../../units.js";
import { Entries } from "../../device/entries.js";
import type { Numbers } from "../../device/numbers.js";
import type { DevPagemap } from "../../device/pagemap.js";
import type { Pagemaps } from "../../device/pagemaps.js";
import type { Side } from "../../device/side.js";
import type { ZoneDevice } from "../../device/zone-device.js";
import type { Base } from "../../process/base.js";
import {
  deviceNumberHigh,
  isDevicePrivate,
  PTE_THERE,
  SWP_DEVICE_EXCLUSIVE,
  SWP_DEVICE_MIGRATION_READ,
  SWP_DEVICE_MIGRATION_WRITE,
  SWP_DEVICE_WRITE,
  SWP_MIGRATION_READ,
  SWP_MIGRATION_WRITE,
  swapOffset,
  swapType,
} from "../../process/entry.js";
import type { Kernel } from "../../process/kernel.js";

/** What of the device layer the rules look at. */
export interface DeviceLayer {
  readonly base: Base;
  readonly numbers: Numbers;
  readonly privates: Side;
  readonly pagemaps: Pagemaps;
  readonly zoneDevice: ZoneDevice;
}

/** Device memory of a kernel; null where none is attached. */
export function deviceLayerOf(kernel: Kernel): DeviceLayer | null {
  const { device } = kernel.base;
  return device instanceof Entries ? device : null;
}

/** A folio in service. */
export interface DeviceFolio {
  readonly map: DevPagemap;
  readonly page: number;
  readonly order: number;
  readonly ref: Ref;
}

/** Every folio in service, by map, in order. */
export function deviceFolios(layer: DeviceLayer): DeviceFolio[] {
  const found: DeviceFolio[] = [];
  for (const map of layer.pagemaps.maps.values())
    layer.zoneDevice.forEachFolio(map, (page, order, ref) => found.push({ map, page, order, ref }));
  return found;
}

/** What an entry of the device layer is. */
export interface DeviceEntry {
  readonly kind: "private" | "exclusive" | "migration";
  /** Page that it leads to; −1 for none. */
  readonly page: number;
  readonly write: boolean;
}

const SPACES = 2 ** 16;

/** A device's entry; null for one that is none: present, empty, swap, a frame on its way. */
export function deviceEntry(layer: DeviceLayer, lo: number, hi: number): DeviceEntry | null {
  if ((lo & PTE_THERE) !== 0 || (lo | hi) === 0) return null;
  const type = swapType(hi);
  const number = swapOffset(lo, hi);
  const { naming, firstPrivate } = layer.numbers;
  const find = (high: number): number => (high < SPACES ? naming.find(number, high) : -1);
  if (isDevicePrivate(lo, hi)) {
    const write = type === SWP_DEVICE_WRITE;
    return { kind: "private", page: find(deviceNumberHigh(hi)), write };
  }
  if (type === SWP_DEVICE_EXCLUSIVE) return { kind: "exclusive", page: number, write: true };
  if (type >= SWP_DEVICE_MIGRATION_READ && type <= SWP_DEVICE_MIGRATION_WRITE) {
    const write = type === SWP_DEVICE_MIGRATION_WRITE;
    return { kind: "migration", page: find(deviceNumberHigh(hi)), write };
  }
  const moves = type >= SWP_MIGRATION_READ && type <= SWP_MIGRATION_WRITE;
  if (naming.ownKind || !moves || number < firstPrivate) return null;
  return { kind: "migration", page: find(0), write: type === SWP_MIGRATION_WRITE };
}
