/**
 * Rules of the blocks: every page of a block gives the same answers as its first,
 * a descriptor names its block, and only what has a reference count is counted.
 *
 * Facts: memdesc-facts §1.1 (all pages of a block hold the same word), §1.4 (who
 * has a reference count). Today's kernel counts every page it hands out, so there
 * only slabs are looked at.
 */
import {
  FOLIO_REFCOUNT,
  PAGE32_REFCOUNT,
  PAGE64_REFCOUNT,
  SLOT64_REF_COUNT,
} from "../layout/generated/offsets.js";
import {
  isFolioType,
  T_ANON,
  T_ANON_EXCLUSIVE,
  T_BUDDY,
  T_MISC,
  T_SLAB,
} from "../design/word/axis-types.js";
import type { HeldBlock, View } from "./view.js";
import type { Report, Rule } from "./rule.js";

/** An overlay has no name of its own for every type: it answers Misc there. */
const answers = (view: View, block: HeldBlock, type: number): boolean =>
  plain(type) === plain(block.type) ||
  (view.m.design.overlay && type === T_MISC && !isFolioType(block.type));

/** A type that is spent on a bit of single pages is no other type of the block. */
const plain = (type: number): number => (type === T_ANON_EXCLUSIVE ? T_ANON : type);

function pageOfHeld(view: View, block: HeldBlock, pfn: number, report: Report): void {
  const { design } = view.m;
  const type = design.typeOf(pfn);
  if (!answers(view, block, type))
    report(pfn, `its type is ${type}, its block of type ${block.type} is held`);
  if (type === T_MISC && block.type === T_MISC && design.subtypeOf(pfn) !== block.subtype)
    report(pfn, `its subtype is ${design.subtypeOf(pfn)}, not ${block.subtype}`);
  if (design.blockOf(pfn) !== block.pfn)
    report(pfn, `it says its block starts at ${design.blockOf(pfn)}, it starts at ${block.pfn}`);
  if (design.orderOf(pfn) !== block.order)
    report(pfn, `it says order ${design.orderOf(pfn)}, its block is of order ${block.order}`);
  if (design.descriptorOf(pfn) !== design.descriptorOf(block.pfn))
    report(pfn, "its descriptor is not its block's");
  if (!isFolioType(block.type) && design.mappingBitsOf(pfn) !== 0)
    report(pfn, "it is no folio and shows a mapping's bits");
}

export const PAGES_ANSWER_FOR_THEIR_BLOCK: Rule = {
  name: "pages answer for their block",
  says: "any page of a held block tells its type, first frame, order and descriptor",
  watch(view, report) {
    for (const block of view.held) {
      for (let i = 0; i < 2 ** block.order; i++) pageOfHeld(view, block, block.pfn + i, report);
    }
  },
};

export const FREE_PAGES_ANSWER_FREE: Rule = {
  name: "free pages answer free",
  says: "any page of a free block is of type buddy and tells the block's first frame and order",
  watch({ m, freeLists }, report) {
    for (const list of freeLists) {
      for (const { pfn, order } of list.blocks) {
        for (let at = pfn; at < pfn + 2 ** order; at++) {
          if (m.design.typeOf(at) !== T_BUDDY)
            report(at, `${list.name}: its type is ${m.design.typeOf(at)}`);
          if (m.design.blockOf(at) !== pfn)
            report(at, `${list.name}: it says its block starts at ${m.design.blockOf(at)}`);
          if (m.design.orderOf(at) !== order)
            report(at, `${list.name}: it says order ${m.design.orderOf(at)}`);
        }
      }
    }
  },
};

export const FOLIOS_ARE_COUNTED: Rule = {
  name: "folios are counted",
  says: "a folio's reference count is the number of references held",
  watch({ m, held }, report) {
    for (const { pfn, type, refs } of held) {
      if (!isFolioType(type)) continue;
      const count = m.w.load32(m.design.descriptorOf(pfn), m.design.folio.refcount);
      if (count !== refs) report(pfn, `its count is ${count}, ${refs} references are held`);
    }
  },
};

/** Offset of the count in a page's own words, and what it must be there; null where there is none. */
function ownCount(
  view: View,
  block: HeldBlock,
  index: number,
): { readonly off: number; readonly must: number } | null {
  const { design } = view.m;
  const folio = isFolioType(block.type);
  switch (design.wordsOf(block.pfn).struct) {
    case "PAGE32":
      // A bare page may count itself: scattered memory, one by one.
      return block.type === T_MISC ? null : { off: PAGE32_REFCOUNT, must: 0 };
    case "PAGE64": {
      const separate = folio && design.separateOf(block.pfn) !== 0;
      return block.type === T_SLAB || separate || index > 0
        ? { off: PAGE64_REFCOUNT, must: 0 }
        : null;
    }
    case "SLOT64":
      return (folio || block.type === T_MISC) && index === 0
        ? null
        : { off: SLOT64_REF_COUNT, must: index === 0 ? 1 : 0 };
    default:
      return null;
  }
}

export const ONLY_FOLIOS_ARE_COUNTED: Rule = {
  name: "only folios are counted",
  says: "slabs, tails and pages with a separate folio have no reference of their own; at the 32-byte stage only bare pages may have (today's kernel counts Misc and page tables)",
  watch(view, report) {
    for (const block of view.held) {
      for (let i = 0; i < 2 ** block.order; i++) {
        const own = ownCount(view, block, i);
        if (own === null) continue;
        const { ref } = view.m.design.wordsOf(block.pfn + i);
        const count = view.m.w.load32(ref, own.off);
        if (count !== own.must) report(block.pfn + i, `its own count is ${count}, not ${own.must}`);
      }
    }
  },
};

export const FREED_FOLIOS_ARE_NOT_COUNTED: Rule = {
  name: "freed folios are not counted",
  says: "a folio descriptor that is free has reference count 0, so that a late reader cannot take it",
  watch({ m, slabs }, report) {
    if (m.design.folio.refcount !== FOLIO_REFCOUNT) return;
    for (const slab of slabs) {
      if (!m.caches.specs[slab.cache]?.name.includes("folio")) continue;
      for (const object of slab.free) {
        const count = m.w.load32(object, FOLIO_REFCOUNT);
        if (count !== 0) report(slab.pfn, `free folio ${object} has count ${count}`);
      }
    }
  },
};
