/**
 * Too little memory: what was not used lately goes to swap and comes back when it
 * is touched. Splitting a folio on the way out needs descriptors in the middle of
 * reclaim; they come from below all watermarks, so that it never waits for what
 * it is to find.
 */
import { defineScenario, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "memdesc";

const PAGE = 4096;
const PAGES = 3000;

export default defineScenario({
  name: "reclaim",
  about: "more memory is written than the machine has: swap out, swap in",
  machine: { memory: "12MiB", swap: "32MiB" },

  run(s) {
    const { kernel } = s;
    const group = kernel.createMemcg();
    const p = kernel.createProcess(group);
    const at = p.mmap({
      length: PAGES * PAGE,
      prot: PROT_READ | PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS,
    });
    s.step(`${PAGES} pages are written, 11.7 MiB`, () => {
      for (let i = 0; i < PAGES; i++) p.write(at + i * PAGE, Uint8Array.of(i, i >> 8));
    });
    s.expect("all of them exist", p.rss.anon + p.rss.swap, PAGES);
    s.expect("some in swap", p.rss.swap > 0);
    s.expect("slots in use are what the entries name", kernel.base.swap.used >= p.rss.swap);
    s.finding("pages that stayed in memory", p.rss.anon);
    s.finding("pages that reclaim looked at", kernel.reclaim.scanned);
    s.step("all are read back", () => {
      for (let i = 0; i < PAGES; i++) {
        const [low, high] = p.read(at + i * PAGE, 2);
        if (low !== (i & 255) || high !== i >> 8) s.expect(`content of page ${i}`, false);
      }
    });
    s.expect(
      "the cgroup is charged for what is in memory",
      kernel.base.memcgs.usage(group) >= p.rss.anon,
    );
    s.step("the process ends", () => p.exit());
    s.expect("no slot is left in use", kernel.base.swap.used, 0);
    s.expect("nothing is charged", kernel.base.memcgs.usage(group), 0);
  },
});
