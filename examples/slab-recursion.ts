/**
 * Describing memory needs memory. A folio's descriptor lies in a slab; the slab's
 * page needs a slab descriptor, which lies in a slab too. It ends because a slab
 * of slab descriptors is described by its own first object. What is taken on the
 * way is put back where a later step fails, and freeing takes nothing.
 */
import { defineScenario, T_FILE } from "memdesc";

const FOLIOS = 500;

export default defineScenario({
  name: "slab recursion",
  about: "the memory that describing memory takes, also when there is none left",
  machine: { memory: "128MiB" },

  run(s) {
    const { machine } = s;
    const { allocator, buddy, caches } = machine;
    /** Free pages, those on per-CPU lists included. */
    const free = (): number => {
      allocator.drainAll();
      return buddy.freePages(0);
    };
    const atFirst = free();

    const first = s.step("the first folio", () => machine.allocFolio(0, T_FILE));
    s.finding("pages that the first folio took", atFirst - free());
    s.step("it is freed; the caches give their empty slabs back", () => {
      machine.putFolio(first);
      caches.shrink();
    });
    s.expect("pages free", free(), atFirst);

    let points = 0;
    s.step("the first folio again, failing at each allocation in turn", () => {
      for (; ; points++) {
        allocator.failAfter = points;
        const pfn = machine.allocFolio(0, T_FILE);
        allocator.failAfter = -1;
        if (pfn >= 0) return machine.putFolio(pfn);
      }
    });
    s.finding("allocations that can fail", points);
    caches.shrink();
    s.expect("pages free after every failure", free(), atFirst);

    const folios: number[] = [];
    s.repeat("many folios", FOLIOS, () => void folios.push(machine.allocFolio(0, T_FILE)));
    s.finding(`pages that ${FOLIOS} folios took`, atFirst - free());
    s.show("with many folios");
    s.repeat("all of them are freed", FOLIOS, (i) => machine.putFolio(folios[i]));
    s.step("and the slabs given back", () => caches.shrink());
    s.expect("pages free at the end", free(), atFirst);
  },
});
