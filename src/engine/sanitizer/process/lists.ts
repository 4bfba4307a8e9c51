/**
 * Rules of the lists that folios are on: the LRU lists of each node and the
 * queue of folios to be split.
 */
import type { Ref } from "../../../units.js";
import { LRUVEC_LISTS, LRUVEC_LRU_LOCK } from "../../layout/generated/offsets.js";
import { PG_ACTIVE, PG_LRU, PG_SWAPBACKED, PG_UNEVICTABLE } from "../../design/word/axis-flags.js";
import { S_DEFERRED_LOCK } from "../../process/core.js";
import { LRU_LISTS } from "../../process/folios.js";
import type { KernelReport, KernelRule } from "./rule.js";
import type { FolioView } from "./shape.js";
import { holderOf, type ProcessView } from "./view.js";

const NONE = 0 as Ref;
const NAMES = ["inactive anon", "active anon", "inactive file", "active file", "unevictable"];

/** The LRU list that a folio's flags name. */
function listOf(flags: number): number {
  if ((flags & PG_UNEVICTABLE) !== 0) return 4;
  return ((flags & PG_SWAPBACKED) !== 0 ? 0 : 2) + ((flags & PG_ACTIVE) !== 0 ? 1 : 0);
}

/** Follows one LRU list from its head; `on` gets every folio that it finds. */
function lruList(
  view: ProcessView,
  node: number,
  list: number,
  on: Map<Ref, string>,
  report: KernelReport,
): void {
  const { core, base } = view;
  const vec = core.lruvec(node);
  const name = `LRU list ${NAMES[list]} of node ${node}`;
  const head = LRUVEC_LISTS + list * 16;
  let pages = 0;
  let before = NONE;
  for (let at = core.pointer(vec, head); at !== NONE;) {
    const folio = view.folios.get(at);
    if (folio === undefined) {
      report(core.pfnOf(at), `descriptor ${at} is listed and no page belongs to it`, name);
      return;
    }
    const other = on.get(at);
    if (other !== undefined) {
      report(folio.pfn, `it is on ${other} too`, name);
      return;
    }
    on.set(at, name);
    const prev = core.pointer(core.rest(at), core.layout.lru + 8);
    if (prev !== before) report(folio.pfn, `its prev is ${prev}, before it is ${before}`, name);
    const flags = base.folios.flags(at);
    if ((flags & PG_LRU) === 0) report(folio.pfn, "its flags say that it is on no list", name);
    else if (listOf(flags) !== list)
      report(folio.pfn, `its flags name the list ${NAMES[listOf(flags)]}`, name);
    if (base.folios.nodeOf(at) !== node)
      report(folio.pfn, `it is of node ${base.folios.nodeOf(at)}`, name);
    pages += 2 ** folio.order;
    before = at;
    at = core.pointer(core.rest(at), core.layout.lru);
  }
  const last = core.pointer(vec, head + 8);
  if (last !== before) report(-1, `its last is ${last}, its last folio ${before}`, name);
  const size = base.folios.lruSize(node, list);
  if (size !== pages) report(-1, `it counts ${size} pages, ${pages} are on it`, name);
}

export const LRU_LISTS_ARE_WHOLE: KernelRule = {
  name: "LRU lists are whole",
  says: "every folio that says so is on the one list that its node and flags name, linked both ways; sizes are right; nothing else is on a list",
  watch(view, report) {
    const on = new Map<Ref, string>();
    for (let node = 0; node < view.core.nodes; node++) {
      for (let list = 0; list < LRU_LISTS; list++) lruList(view, node, list, on, report);
      if (view.base.w.load32(view.core.lruvec(node), LRUVEC_LRU_LOCK) !== 0)
        report(-1, "its lock is held", `LRU lists of node ${node}`);
    }
    for (const folio of view.folios.values()) {
      if ((view.base.folios.flags(folio.ref) & PG_LRU) !== 0 && !on.has(folio.ref))
        report(folio.pfn, "its flags say LRU, it is on no list", holderOf(folio));
    }
  },
};

/** A folio whose queue links are not empty, where it has such links. */
function queued(view: ProcessView, folio: FolioView): boolean {
  if (folio.order < 2 || view.core.design.folioClassOf(folio.pfn) === 1) return false;
  const rest = view.core.rest(folio.ref);
  const { deferredList } = view.core.layout;
  return (
    view.core.pointer(rest, deferredList) !== NONE ||
    view.core.pointer(rest, deferredList + 8) !== NONE
  );
}

export const DEFERRED_QUEUE_IS_WHOLE: KernelRule = {
  name: "the deferred queue is whole",
  says: "the queue of folios to be split is linked both ways, counted right, and holds living folios of order 2 and more",
  watch(view, report) {
    const { core, base } = view;
    const name = "the deferred split queue";
    const on = new Set<Ref>();
    let before = NONE;
    for (let at = base.deferred.first; at !== NONE; at = base.deferred.next(at)) {
      const folio = view.folios.get(at);
      if (folio === undefined) {
        report(core.pfnOf(at), `descriptor ${at} is queued and no page belongs to it`, name);
        return;
      }
      if (on.has(at)) return report(folio.pfn, "it is queued twice", name);
      on.add(at);
      if (folio.order < 2) report(folio.pfn, `a folio of order ${folio.order} is queued`, name);
      const prev = core.pointer(core.rest(at), core.layout.deferredList + 8);
      if (prev !== before) report(folio.pfn, `its prev is ${prev}, before it is ${before}`, name);
      before = at;
    }
    if (on.size !== base.deferred.count)
      report(-1, `it counts ${base.deferred.count} folios, ${on.size} are queued`, name);
    for (const folio of view.folios.values())
      if (queued(view, folio) && !on.has(folio.ref))
        report(folio.pfn, "its links say queued, it is not in the queue", holderOf(folio));
    if (base.w.load32(core.state, S_DEFERRED_LOCK) !== 0) report(-1, "its lock is held", name);
  },
};
