/**
 * What must not compile. Each line under a `@ts-expect-error` is a mistake that
 * the types exist to refuse; `tsc --noEmit` fails where one compiles after all.
 * Nothing here is run.
 */
import {
  bytes,
  order,
  pageCount,
  pfn,
  ref,
  type Bytes,
  type Order,
  type PageCount,
  type Pfn,
  type Ref,
} from "../../src/units.js";
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
