/**
 * A machine's observable state as one string: what every frame answers, what is
 * free in which sizes, what the caches hold. Per-CPU lists are drained first, so
 * that a page counts as free wherever it is; migrate types of pageblocks are left
 * out, because claiming one is not undone by giving its pages back (nor is it in
 * a kernel).
 */
import { createHash } from "node:crypto";
import { isFolioType, T_BUDDY } from "../../src/engine/design/word/axis-types.js";
import type { Machine } from "../../src/engine/machine.js";
import { MAX_ORDER } from "../../src/engine/pages/zones.js";

export function digest(m: Machine): string {
  m.allocator.drainAll();
  const free: number[] = [];
  for (let zone = 0; zone < m.config.zones.length; zone++) {
    for (let order = 0; order <= MAX_ORDER; order++) free.push(m.buddy.freeBlocks(zone, order));
  }
  const pages = createHash("sha256");
  for (const { start, end } of m.config.present) {
    for (let pfn = start; pfn < end; pfn++) pages.update(answerOf(m, pfn));
  }
  const caches = m.caches.usage().map((c) => `${c.name} ${c.objects}/${c.slabs}`);
  return JSON.stringify({ free, caches, pages: pages.digest("hex") });
}

function answerOf(m: Machine, pfn: number): string {
  const { design } = m;
  const type = design.typeOf(pfn);
  const refs = isFolioType(type) ? m.w.load32(design.descriptorOf(pfn), design.folio.refcount) : 0;
  const flags = type === T_BUDDY ? 0 : design.pageFlagsOf(pfn);
  return `${type},${design.blockOf(pfn)},${design.orderOf(pfn)},${design.zoneOf(pfn)},${refs},${flags},${design.mapcountOf(pfn)};`;
}
