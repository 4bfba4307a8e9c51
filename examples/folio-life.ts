/**
 * The life of a folio of the page cache, in the order that memory descriptors
 * prescribe: descriptor first, then the tagged value into every page, reference
 * count last. Until then a lookup through any of its pages finds no folio. In
 * today's kernel the descriptor is the first page's own struct page, so the first
 * step does nothing there.
 */
import { defineScenario, ref, T_FILE } from "memdesc";

/** 16 KiB. */
const ORDER = 2;
const MIGRATE_MOVABLE = 1;

export default defineScenario({
  name: "folio life",
  about: "a page cache folio from its descriptor to its last reference",
  machine: { memory: "128MiB" },

  run(s) {
    const { machine } = s;
    const { design, caches, allocator, w } = machine;
    const cache = design.cacheFor(T_FILE, ORDER);
    const taken = { unfinished: true };

    const descriptor = s.step(
      "descriptor first: an object from its cache",
      () => (cache < 0 ? ref(0) : caches.alloc(cache)),
      taken,
    );
    const pfn = s.step("then the pages", () => allocator.alloc(ORDER, MIGRATE_MOVABLE), taken);
    s.show("nobody's pages", [pfn, pfn + 3]);

    s.step(
      "the tagged value into the word of every page",
      () => design.bind(pfn, ORDER, T_FILE, descriptor),
      taken,
    );
    s.step(
      "the contents of the folio",
      () => design.initFolio(pfn, ORDER, T_FILE, descriptor, design.zoneOf(pfn)),
      taken,
    );
    const folio = design.descriptorOf(pfn);
    const references = (): number => w.load32(folio, design.folio.refcount);
    s.expect("references before the last step", references(), 0);
    s.step("reference count last: now it can be found", () =>
      w.store32(folio, design.folio.refcount, 1),
    );
    s.show("a folio", [pfn, pfn + 3]);
    const bytes = 2 ** ORDER * design.pageBytes + (cache < 0 ? 0 : caches.stride[cache] * 16);
    s.finding("bytes that describe these 16 KiB", bytes);

    s.step("a reference through its last page", () => machine.getFolio(pfn + 3));
    s.expect("references now", references(), 2);
    s.step("one reference goes", () => machine.putFolio(pfn));
    s.step("the last one goes, and descriptor and pages with it", () => machine.putFolio(pfn));
    s.show("free again", [pfn]);
    s.refused("ENOMEM", () => machine.allocFolio(11, T_FILE));
    s.note("Orders end at 10: that refusal changed nothing.");
  },
});
