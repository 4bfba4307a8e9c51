/**
 * Pages on the move: a folio leaves its frames while it is mapped, and nobody who
 * uses it notices; compaction does it to a whole zone until a huge page fits.
 */
import {
  defineScenario,
  FOLL_PIN,
  FOLL_WRITE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from "memdesc";

const PAGE = 4096;
const PAGES = 2048;

export default defineScenario({
  name: "migration",
  about: "mapped pages change frames; compaction makes room for a huge page",
  machine: { memory: "32MiB" },

  run(s) {
    const { kernel } = s;
    const p = kernel.createProcess();
    const at = p.mmap({
      length: PAGES * PAGE,
      prot: PROT_READ | PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS,
    });
    for (let i = 0; i < PAGES; i++) p.write(at + i * PAGE, Uint8Array.of(i));
    const child = p.fork();

    const before = p.pagemap(at).pfn;
    s.step("a page that two processes map moves", () => {
      s.expect("it can", kernel.migration.move(before), 0);
    });
    s.expect("both see the new frame", child.pagemap(at).pfn, p.pagemap(at).pfn);
    s.expect("it is another one", p.pagemap(at).pfn !== before);
    s.expect("the content came along", child.read(at, 1)[0], 0);
    s.step("the child ends", () => child.exit());

    const pin = s.step("a device pins a page", () => p.gup(at + PAGE, PAGE, FOLL_PIN | FOLL_WRITE));
    s.expect("it does not move", kernel.migration.move(pin.pfns[0]), -11);
    s.step("and lets go", () => pin.release());

    s.step("three of four pages are given back: free memory in pieces", () => {
      for (let i = 0; i < PAGES; i++) if (i % 4 !== 0) p.munmap(at + i * PAGE, PAGE);
      kernel.machine.allocator.drainAll();
    });
    const moved = s.step("compaction", () => kernel.compaction.zone(0));
    s.finding("pages that moved", moved);
    s.expect("a free block of 2 MiB", largest(kernel.machine) >= 9);
    for (let i = 0; i < PAGES; i += 4) {
      if (p.read(at + i * PAGE, 1)[0] !== (i & 255)) s.expect(`content of page ${i}`, false);
    }
    s.step("the process ends", () => p.exit());
  },
});

/** Largest order with a free block. */
function largest(machine: {
  readonly buddy: { freeBlocks(zone: number, order: number): number };
}): number {
  for (let order = 10; order >= 0; order--)
    if (machine.buddy.freeBlocks(0, order) > 0) return order;
  return -1;
}
