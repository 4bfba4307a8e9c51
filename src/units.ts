/**
 * Numbers with a kind.
 *
 * A page frame number, an order, a count of pages, a count of bytes and a
 * reference into the metadata arena are all plain integers at run time and
 * five different types at compile time, so that one is never taken for
 * another (rule 4: "numbers have kinds"). Each kind has one door, a function
 * of the same name in lower case; arithmetic gives a plain `number` back, and
 * going back through the door says what it is.
 */

declare const kind: unique symbol;
type Branded<K extends string> = number & { readonly [kind]: K };

/** Page frame number: physical address / 4096. 0 … 2^32 − 1 (16 TiB). */
export type Pfn = Branded<"Pfn">;
/** Allocation order: a block of 2^order pages. */
export type Order = Branded<"Order">;
/** A number of 4 KiB pages. */
export type PageCount = Branded<"PageCount">;
/** A number of bytes. */
export type Bytes = Branded<"Bytes">;
/**
 * A place in the metadata arena, in units of 16 bytes. 0 is "nothing".
 * Its address as a kernel would see it is `ref × 16`.
 */
export type Ref = Branded<"Ref">;
/** A NUMA node number. */
export type NodeId = Branded<"NodeId">;
/**
 * A page of device-private memory, as `struct page *` names it in the kernel: a
 * place in the records, not in physical memory. What number it has in page
 * tables is its naming's business.
 */
export type DevicePage = Branded<"DevicePage">;
/** Page number in the one global device-private address space (`device-name=offset`). */
export type DeviceOffset = Branded<"DeviceOffset">;
/** A device's own address space: one page map (`device-name=tuple`). 0 … 65,535. */
export type SpaceId = Branded<"SpaceId">;
/** Page of such a space, counted from 0. */
export type DeviceIndex = Branded<"DeviceIndex">;
/** A row of the machine's zone table (node and zone type together). */
export type ZoneIndex = Branded<"ZoneIndex">;

/** Says that a number is a page frame number. Checks nothing. */
export const pfn = (n: number): Pfn => n as Pfn;
/** Says that a number is an order. Checks nothing. */
export const order = (n: number): Order => n as Order;
/** Says that a number is a count of pages. Checks nothing. */
export const pageCount = (n: number): PageCount => n as PageCount;
/** Says that a number is a count of bytes. Checks nothing. */
export const bytes = (n: number): Bytes => n as Bytes;
/** Says that a number is a place in the arena, in units of 16 bytes. Checks nothing. */
export const ref = (n: number): Ref => n as Ref;
export const nodeId = (n: number): NodeId => n as NodeId;
/** Says that a number is a place in the records of device-private memory. Checks nothing. */
export const devicePage = (n: number): DevicePage => n as DevicePage;
/** Says that a number is a page of the global device address space. Checks nothing. */
export const deviceOffset = (n: number): DeviceOffset => n as DeviceOffset;
/** Says that a number is a device's address space. Checks nothing. */
export const spaceId = (n: number): SpaceId => n as SpaceId;
/** Says that a number is a page of a device's address space. Checks nothing. */
export const deviceIndex = (n: number): DeviceIndex => n as DeviceIndex;

/** Bytes of a base page, where nothing else is said. */
export const PAGE_SIZE = 4096;

const SUFFIX: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
  P: 2 ** 50,
};

/**
 * Reads a size as people write it: `64k`, `1TiB`, `512 MB`, `4096`. Suffixes
 * are powers of 1024 whichever way they are spelled, as in the kernel's
 * command line. Returns undefined for anything else.
 */
export function parseBytes(text: string): Bytes | undefined {
  const m = /^\s*(\d+(?:\.\d+)?)\s*([kKmMgGtTpP]?)(?:i?[bB])?\s*$/.exec(text);
  if (!m) return undefined;
  const n = Number(m[1]) * (SUFFIX[(m[2] ?? "").toUpperCase()] ?? 1);
  return Number.isSafeInteger(n) ? bytes(n) : undefined;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** Prints bytes with three significant digits: `384 MiB`, `31.2 MiB`, `8.33 GiB`. */
export function formatBytes(n: number): string {
  const sign = n < 0 ? "−" : "";
  let v = Math.abs(n);
  let u = 0;
  while (v >= 1024 && u < UNITS.length - 1) {
    v /= 1024;
    u++;
  }
  // 1023.7 MiB must not be printed as "1,024 MiB" but as "1.00 GiB".
  if (u > 0 && v >= 999.5 && u < UNITS.length - 1) {
    v /= 1024;
    u++;
  }
  const digits = u === 0 || v >= 100 ? 0 : v >= 10 ? 1 : 2;
  return `${sign}${v.toFixed(digits)} ${UNITS[u]}`;
}

/** Prints a count with thousands separators, the same on every machine. */
export function formatCount(n: number): string {
  const s = Math.abs(Math.trunc(n)).toString();
  const grouped = s.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return n < 0 ? `−${grouped}` : grouped;
}
