/**
 * What must not compile. Each line under a `@ts-expect-error` is a mistake that
 * the types exist to refuse; `tsc --noEmit` fails where one compiles after all.
 * Nothing here is run.
 */
import {
  bytes,
  deviceIndex,
  deviceOffset,
  devicePage,
  order,
  pageCount,
  pfn,
  ref,
  spaceId,
  type Bytes,
  type DeviceIndex,
  type DeviceOffset,
  type DevicePage,
  type Order,
  type PageCount,
  type Pfn,
  type Ref,
  type SpaceId,
} from "../../src/units.js";
import { pfnToPgmapOffset } from "../../src/engine/device/superseded.js";
import type { DevPagemap } from "../../src/engine/device/pagemap.js";
import type {
  DeviceNaming,
  OffsetNaming,
  PhysicalNaming,
  TupleNaming,
} from "../../src/engine/design/device-name/axis.js";
import type { OffsetName } from "../../src/engine/design/device-name/offset.js";
import type { PhysicalName } from "../../src/engine/design/device-name/physical.js";
import type { TupleName } from "../../src/engine/design/device-name/tuple.js";
import type { KnowsHead, PageDesign } from "../../src/engine/design/word/axis.js";
import { T_FILE, type PageType } from "../../src/engine/design/word/axis-types.js";
import type { Memdesc16 } from "../../src/engine/design/word/memdesc16.js";
import type { Memdesc8 } from "../../src/engine/design/word/memdesc8.js";
import type { Page32 } from "../../src/engine/design/word/page32.js";
import type { Page64 } from "../../src/engine/design/word/page64.js";
import type { Slot64 } from "../../src/engine/design/word/slot64.js";
import type { Words } from "../../src/engine/words/words.js";

/** Numbers of one kind are not numbers of another. */
export function kindsDoNotMix(): readonly unknown[] {
  // @ts-expect-error a frame number is no order
  const a: Order = pfn(1);
  // @ts-expect-error an order is no frame number
  const b: Pfn = order(1);
  // @ts-expect-error bytes are no pages
  const c: PageCount = bytes(4096);
  // @ts-expect-error pages are no bytes
  const d: Bytes = pageCount(1);
  // @ts-expect-error a plain number has no kind until it went through a door
  const e: Pfn = 1;
  // @ts-expect-error the sum of two frame numbers is no frame number
  const f: Pfn = pfn(1) + pfn(2);
  // @ts-expect-error a number is no page type
  const g: PageType = 2;
  // @ts-expect-error a page type is no reference
  const h: Ref = T_FILE;
  return [a, b, c, d, e, f, g, h];
}

/** Memory is addressed by references only. */
export function memoryIsAddressedByReference(w: Words): void {
  w.load32(ref(1), 0);
  // @ts-expect-error a frame number is no address
  w.load32(pfn(1), 0);
  // @ts-expect-error nor are bytes
  w.store32(bytes(16), 0, 1);
}

/** "Is this the first page?" cannot be asked of a design without the answer. */
export function headsAreNotKnownEverywhere(
  d8: Memdesc8,
  d16: Memdesc16,
  p32: Page32,
  p64: Page64,
  s64: Slot64,
  any: PageDesign,
): void {
  const heads: readonly KnowsHead[] = [p64, s64];
  for (const design of heads) design.isHead(0);
  // @ts-expect-error memdesc8 does not know heads
  d8.isHead(0);
  // @ts-expect-error nor does memdesc16
  d16.isHead(0);
  // @ts-expect-error nor does the 32-byte stage
  p32.isHead(0);
  // @ts-expect-error nor tails
  d8.isTail(0);
  // @ts-expect-error and a program for all designs cannot ask
  any.isHead(0);
  // @ts-expect-error memdesc8 is no design that knows heads
  const knows: KnowsHead = d8;
  knows.isHead(0);
}

/** A page's own private, mapping, counts and list head cannot be asked of a design without them. */
export function barePagesHaveWhatTheirWordHas(
  d8: Memdesc8,
  d16: Memdesc16,
  p32: Page32,
  p64: Page64,
  any: PageDesign,
): void {
  p64.barePageMapping(0);
  d16.privateOf(0);
  p32.privateOf(0);
  // @ts-expect-error memdesc8 has one word, and no private beside it
  d8.privateOf(0);
  // @ts-expect-error nor a count of its own
  d8.tryGetPage(0, 1);
  // @ts-expect-error mapping leaves struct page with the 32-byte stage
  p32.barePageMapping(0);
  // @ts-expect-error Misc has no reference count in the final words
  d16.bareRefcount.toFixed();
  // @ts-expect-error no list head at the 32-byte stage
  p32.barePageList.toFixed();
  // @ts-expect-error and a program for all designs cannot ask
  any.privateOf(0);
}

/** Numbers of device pages are of four kinds, none of which is another. */
export function deviceNumbersDoNotMix(): readonly unknown[] {
  // @ts-expect-error a frame number is no offset in the device address space
  const a: DeviceOffset = pfn(1);
  // @ts-expect-error an offset is no frame number
  const b: Pfn = deviceOffset(0);
  // @ts-expect-error a page of a space is none of the one address space
  const c: DeviceOffset = deviceIndex(0);
  // @ts-expect-error a space is no page of it
  const d: DeviceIndex = spaceId(0);
  // @ts-expect-error nor the other way round
  const e: SpaceId = deviceIndex(0);
  // @ts-expect-error a frame number is no place in the records
  const f: DevicePage = pfn(1);
  // @ts-expect-error a place in the records is no frame number
  const g: Pfn = devicePage(1);
  return [a, b, c, d, e, f, g];
}

/** From a pfn to a device-private page and back: only where device-private memory has pfns. */
export function onlyPhysicalNamesHavePfns(
  physical: PhysicalNaming,
  offset: OffsetNaming,
  tuple: TupleNaming,
  any: DeviceNaming,
  map: DevPagemap,
): void {
  pfnToPgmapOffset(physical, map, pfn(1));
  physical.pageOf(pfn(1));
  physical.pfnOf(devicePage(1), map.words);
  // @ts-expect-error pfn_to_pgmap_offset does not exist where an offset is no pfn
  pfnToPgmapOffset(offset, map, pfn(1));
  // @ts-expect-error nor where every map counts for itself
  pfnToPgmapOffset(tuple, map, pfn(1));
  // @ts-expect-error and a program for all names cannot ask
  pfnToPgmapOffset(any, map, pfn(1));
  // @ts-expect-error an offset is asked for, not a pfn
  offset.pageOf(pfn(1));
  // @ts-expect-error a space is asked for, and a page of it
  tuple.pageOf(pfn(1));
  // @ts-expect-error in that order
  tuple.pageOf(deviceIndex(0), spaceId(0));
  // @ts-expect-error no page of a space has a pfn
  tuple.pfnOf(devicePage(1), map.words);
  // @ts-expect-error nor has one of the device address space
  offset.pfnOf(devicePage(1), map.words);
  // @ts-expect-error and a tuple is no offset
  tuple.offsetOf(devicePage(1), map.words);
  // @ts-expect-error what a device page is called in a stolen range is no place in the records
  physical.pfnOf(pfn(1), map.words);
}

/** The rest of them: each of the four, and a frame's number, stands for itself alone. */
export function noDeviceNumberStandsForAnother(): readonly unknown[] {
  // @ts-expect-error a page of a space is no frame
  const a: Pfn = deviceIndex(0);
  // @ts-expect-error and a frame no page of a space
  const b: DeviceIndex = pfn(0);
  // @ts-expect-error a space is no frame
  const c: Pfn = spaceId(0);
  // @ts-expect-error the one address space has no indexes
  const d: DeviceIndex = deviceOffset(0);
  // @ts-expect-error an offset is looked up before it is a page
  const e: DevicePage = deviceOffset(0);
  // @ts-expect-error so is an index
  const f: DevicePage = deviceIndex(0);
  // @ts-expect-error and a page is asked for its offset
  const g: DeviceOffset = devicePage(0);
  // @ts-expect-error the next index went through no door
  const h: DeviceIndex = deviceIndex(0) + 1;
  // @ts-expect-error a device page is no address in the arena
  const i: Ref = devicePage(1);
  return [a, b, c, d, e, f, g, h, i];
}

/** What leads to a page takes its own kind of number, and what names one takes a page. */
export function lookupsTakeTheirOwnKind(
  physical: PhysicalNaming,
  offset: OffsetNaming,
  tuple: TupleNaming,
  any: DeviceNaming,
  pgmap: Ref,
): readonly unknown[] {
  const there: readonly (DevicePage | -1)[] = [
    physical.pageOf(pfn(1)),
    offset.pageOf(deviceOffset(1)),
    tuple.pageOf(spaceId(1), deviceIndex(1)),
  ];
  // @ts-expect-error an offset leads to no page of the physical address space
  const a = physical.pageOf(deviceOffset(1));
  // @ts-expect-error an index leads to none of the device address space
  const b = offset.pageOf(deviceIndex(1));
  // @ts-expect-error an index without its space names no page
  const c = tuple.pageOf(deviceIndex(1));
  // @ts-expect-error an offset is no index
  const d = tuple.pageOf(spaceId(1), deviceOffset(1));
  // @ts-expect-error a frame has no device number
  const e = offset.offsetOf(pfn(1), pgmap);
  // @ts-expect-error nor a place in a space
  const f = tuple.indexOf(pfn(1), pgmap);
  // @ts-expect-error a page with a pfn has no offset
  const g = physical.offsetOf(devicePage(1), pgmap);
  // @ts-expect-error one address space has no spaces
  const h = offset.spaceOf(pgmap);
  // @ts-expect-error a program for all names cannot ask for a pfn
  const i = any.pfnOf(devicePage(1), pgmap);
  // @ts-expect-error what was found may be nothing: that is no page yet
  const j: DevicePage = tuple.pageOf(spaceId(1), deviceIndex(1));
  return [there, a, b, c, d, e, f, g, h, i, j];
}

/** Names of the functions of a class that give an R, or that take an A. */
type Gives<T, R> = {
  [K in keyof T]: T[K] extends (...args: never[]) => unknown
    ? Extract<ReturnType<T[K]>, R> extends never
      ? never
      : K
    : never;
}[keyof T];
type Takes<T, A> = {
  [K in keyof T]: T[K] extends (...args: infer P) => unknown
    ? Extract<P[number], A> extends never
      ? never
      : K
    : never;
}[keyof T];

/** Not only the interfaces: of all that the classes can do nothing gives a pfn or takes one. */
export function noWayLeadsFromATupleToAPfn(
  physical: Gives<PhysicalName, Pfn>,
  back: Takes<PhysicalName, Pfn>,
): readonly unknown[] {
  // Where there is one it is found.
  const pfnOf: "pfnOf" = physical;
  const pageOf: "pageOf" = back;
  const none = (name: never): unknown => name;
  const ways: readonly unknown[] = [
    (name: Gives<TupleName, Pfn>) => none(name),
    (name: Takes<TupleName, Pfn>) => none(name),
    (name: Gives<OffsetName, Pfn>) => none(name),
    (name: Takes<OffsetName, Pfn>) => none(name),
    (name: Gives<TupleName, DeviceOffset>) => none(name),
    (name: Takes<OffsetName, DeviceIndex | SpaceId>) => none(name),
  ];
  // @ts-expect-error in a stolen range it is pfnOf: not nothing
  const some: never = physical;
  return [pfnOf, pageOf, ways, some];
}
