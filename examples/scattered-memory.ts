/**
 * Scattered memory: a vmalloc area mapped to user space and pinned there, freed
 * too early. Who counts, and how the count is found, is the design's choice: run it
 * on several, as `memdesc8,memdesc8+scattered-lookup=slot,memdesc8+scattered=none`.
 */
import { defineScenario, FOLL_PIN, FOLL_WRITE, MREMAP_MAYMOVE } from "memdesc";

const PAGE = 4096;

export default defineScenario({
  name: "scattered memory",
  about: "a vmalloc area in user space: mapped, pinned, forked, moved, freed too early",
  machine: { memory: "64MiB" },

  run(s) {
    const { kernel } = s;
    const { scattered } = kernel;
    const counted = scattered.objects.object.holds !== "nothing";

    const area = s.step("vmalloc_user: 8 pages", () => scattered.alloc(8 * PAGE));
    s.show("two of its pages, wherever they lie", [area.frame(0), area.frame(7)]);
    s.step("the kernel writes through its own page tables", () =>
      area.write(PAGE - 2, Uint8Array.of(1, 2, 3, 4)),
    );
    const p = kernel.createProcess();
    const at = s.step("pages 0 to 3 in a process", () => area.mmap(p, { pages: 4 }));
    s.expect("the process reads what the kernel wrote", p.read(at + PAGE, 1)[0], 3);
    s.finding("references of the object with 4 pages mapped", area.references);

    const pin = counted
      ? s.step("O_DIRECT pins a page of the mapping", () => p.gup(at, PAGE, FOLL_PIN | FOLL_WRITE))
      : null;
    if (!counted) s.refused("EFAULT", () => p.gup(at, PAGE, FOLL_PIN));
    s.finding("pinned the fast way", kernel.gup.fast > 0);

    const child = s.step("fork: the child maps it too", () => p.fork());
    s.step("the parent gives page 1 up, which cuts the mapping", () => p.munmap(at + PAGE, PAGE));
    const moved = s.step("and moves the rest", () =>
      p.mremap(at + 2 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE),
    );
    p.write(moved, Uint8Array.of(9));
    s.expect("parent and child still share the pages", child.read(at + 2 * PAGE, 1)[0], 9);
    s.finding("references after fork, split and move", area.references);

    const report = s.step("vfree, while all that is mapped and pinned", () => area.free());
    s.finding("pages that stay with their holders", report.kept);
    s.finding("pages that a process reaches though they are free", report.stale.length);
    s.expect("nothing is lost where something counts", report.stale.length > 0, !counted);
    if (counted) s.expect("the child reads on", child.read(at + 2 * PAGE, 1)[0], 9);
    s.step("parent and child end", () => {
      p.exit();
      child.exit();
    });
    if (pin !== null) s.step("the last holder is the pin", () => pin.release());
  },
});
