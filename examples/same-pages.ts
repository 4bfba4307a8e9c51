/**
 * KSM: two pages with the same content become one, of a type of its own, until
 * somebody writes. A word says so; a page table, a slab or a driver's page is no
 * folio at all, and asking for its folio finds none.
 */
import {
  defineScenario,
  MADV_MERGEABLE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  T_PGTABLE,
} from "memdesc";

const PAGE = 4096;

export default defineScenario({
  name: "same pages",
  about: "KSM merges two pages; what is no folio has no folio",
  machine: { memory: "32MiB" },

  run(s) {
    const { kernel, machine } = s;
    const p = kernel.createProcess();
    const at = p.mmap({
      length: 2 * PAGE,
      prot: PROT_READ | PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS,
    });
    p.write(at, Uint8Array.of(1));
    p.write(at + PAGE, Uint8Array.of(1));
    const vpn = at / PAGE;
    const two = [
      { mm: p.mm, vpn },
      { mm: p.mm, vpn: vpn + 1 },
    ] as const;
    s.expect("pages that nobody offered are left alone", kernel.ksm.merge(...two), -22);
    s.step("the process offers them", () => p.madvise(at, 2 * PAGE, MADV_MERGEABLE));
    s.step("they become one", () => {
      s.expect("merged", kernel.ksm.merge(...two), 0);
    });
    const shared = p.pagemap(at).pfn;
    s.expect("one frame", p.pagemap(at + PAGE).pfn, shared);
    s.show("a KSM page", [shared]);
    s.step("a write parts them", () => p.write(at, Uint8Array.of(2)));
    s.expect("the other keeps its content", p.read(at + PAGE, 1)[0], 1);

    const table = s.step("a page table", () => machine.allocTyped(0, T_PGTABLE));
    s.expect("has no folio", kernel.base.folios.ofPage(table), 0);
    s.step("it is freed by its own function", () => machine.freeTyped(table));
    s.step("the process ends", () => p.exit());
  },
});
