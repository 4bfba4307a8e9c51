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
    const answers = new Float64Array((end - start) * ANSWERS);
    for (let pfn = start; pfn < end; pfn++) answerOf(m, pfn, answers, (pfn - start) * ANSWERS);
    pages.update(answers);
  }
  const caches = m.caches.usage().map((c) => `${c.name} ${c.objects}/${c.slabs}`);
  return JSON.stringify({ free, caches, pages: pages.digest("hex") });
}

const ANSWERS = 7;

function answerOf(m: Machine, pfn: number, into: Float64Array, at: number): void {
  const { design } = m;
  const type = design.typeOf(pfn);
  into[at] = type;
  into[at + 1] = design.blockOf(pfn);
  into[at + 2] = design.orderOf(pfn);
  into[at + 3] = design.zoneOf(pfn);
  into[at + 4] = isFolioType(type)
    ? m.w.load32(design.descriptorOf(pfn), design.folio.refcount)
    : 0;
  into[at + 5] = type === T_BUDDY ? 0 : design.pageFlagsOf(pfn);
  into[at + 6] = design.mapcountOf(pfn);
}
