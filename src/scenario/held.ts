/**
 * What is held, read from the words of a machine.
 *
 * The sanitizer compares what a caller says it holds with what the words say. A
 * scenario says nothing, so here the words speak for it: every frame that was
 * given to the allocator and is on no list and in no slab of descriptors belongs
 * to a block, and its first page says to which. A frame that claims to be free,
 * or to belong to a block that does not begin where it says, is left out, and the
 * rule "one place" reports it as lost. What cannot be seen this way is a leak: a
 * block that nobody wants any more looks held.
 */
import {
  isFolioType,
  MISC_UNKNOWN,
  T_BUDDY,
  T_MISC,
  T_SLAB,
} from "../engine/design/word/axis-types.js";
import { PMD_PAGES } from "../engine/process/constants.js";
import type { Machine } from "../engine/machine.js";
import { MAX_ORDER } from "../engine/pages/zones.js";
import { viewOf, type Claims, type HeldBlock } from "../engine/sanitizer/view.js";

/** Blocks that somebody holds; `pooled` are the first frames of free huge pages. Throws RuleViolation where a list never ends. */
export function heldBlocks(
  m: Machine,
  given: Claims["given"],
  pooled: Iterable<number> = [],
): HeldBlock[] {
  const taken = takenFrames(m, given);
  const held: HeldBlock[] = [];
  // A pooled block belongs to nobody: each of its pages stands for itself.
  for (const first of pooled) {
    taken.fill(1, first, first + PMD_PAGES);
    for (let pfn = first; pfn < first + PMD_PAGES; pfn++)
      held.push({ pfn, order: 0, type: T_MISC, subtype: MISC_UNKNOWN, refs: 0 });
  }
  for (const { start, end } of given) {
    for (let pfn = start; pfn < end;) {
      const block = taken[pfn] === 1 ? null : blockAt(m, pfn);
      if (block !== null) held.push(block);
      pfn += block === null ? 1 : 2 ** block.order;
    }
  }
  return held;
}

/** 1 for each frame on a list or in a slab of descriptors. */
function takenFrames(m: Machine, given: Claims["given"]): Uint8Array {
  const view = viewOf(m, { given, held: [] });
  const taken = new Uint8Array(m.deviceFirst);
  // Page tables lie where slabs do; they are blocks of their own.
  for (const slab of view.slabs) if (m.design.typeOf(slab.pfn) === T_SLAB) taken[slab.pfn] = 1;
  for (const list of [...view.freeLists, ...view.pcpLists]) {
    for (const { pfn, order } of list.blocks) taken.fill(1, pfn, pfn + 2 ** order);
  }
  return taken;
}

/** The block that begins at this frame; null where none that can be believed does. */
function blockAt(m: Machine, pfn: number): HeldBlock | null {
  const { design } = m;
  const type = design.typeOf(pfn);
  const order = design.orderOf(pfn);
  if (type === T_BUDDY || design.blockOf(pfn) !== pfn) return null;
  if (order < 0 || order > MAX_ORDER || pfn + 2 ** order > m.deviceFirst) return null;
  const count = isFolioType(type) ? m.w.load32(design.descriptorOf(pfn), design.folio.refcount) : 0;
  return {
    pfn,
    order,
    type,
    subtype: type === T_MISC ? design.subtypeOf(pfn) : 0,
    // A folio that is held has at least one reference; where its count says less, a rule is broken.
    refs: isFolioType(type) ? Math.max(1, count) : 0,
  };
}
