/**
 * A huge page from its fault to its split: one folio of 512 pages, mapped by one
 * entry; unmapped in part it keeps all its memory until it is split, and a
 * design with separate descriptors must find 512 of them then.
 */
import {
  defineScenario,
  MADV_COLLAPSE,
  MADV_HUGEPAGE,
  MADV_NOHUGEPAGE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  ref,
} from "memdesc";

const HUGE = 2 * 2 ** 20;
const PAGE = 4096;

export default defineScenario({
  name: "huge pages",
  about: "a PMD folio: fault, partial unmap, deferred split, collapse",
  machine: { memory: "64MiB" },

  run(s) {
    const { kernel } = s;
    const p = kernel.createProcess();
    const at = p.mmap({
      length: HUGE,
      prot: PROT_READ | PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS,
    });
    s.step("the process asks for huge pages", () => p.madvise(at, HUGE, MADV_HUGEPAGE));
    s.step("one touch maps 2 MiB", () => p.write(at + 5 * PAGE, Uint8Array.of(5)));
    const first = p.pagemap(at).pfn;
    s.expect("one entry", p.pagemap(at).huge);
    s.expect("512 pages of memory", p.rss.anon, 512);
    s.show("head and tail", [first, first + 511]);

    s.step("half of it is given back: the entry is split, the folio is not", () =>
      p.munmap(at + HUGE / 2, HUGE / 2),
    );
    s.expect("256 pages are mapped", p.rss.anon, 256);
    s.expect("the folio waits to be split", kernel.base.deferred.count, 1);
    s.step("reclaim splits it: descriptors first, then the cut", () =>
      kernel.reclaim.some(256, ref(0)),
    );
    s.expect("nothing waits any more", kernel.base.deferred.count, 0);
    s.expect("what was written is there", p.read(at + 5 * PAGE, 1)[0], 5);
    s.show("the same frames", [first, first + 255]);

    const small = p.mmap({
      length: HUGE,
      prot: PROT_READ | PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS,
    });
    p.madvise(small, HUGE, MADV_NOHUGEPAGE);
    s.repeat("single pages of 2 MiB are touched", 512, (i) => p.touch(small + i * PAGE, "write"));
    p.write(small + 7 * PAGE, Uint8Array.of(7));
    p.madvise(small, HUGE, MADV_HUGEPAGE);
    s.step("collapse: one folio for 512", () => p.madvise(small, HUGE, MADV_COLLAPSE));
    s.expect("huge now", p.pagemap(small).huge);
    s.expect("with the content", p.read(small + 7 * PAGE, 1)[0], 7);
    s.step("the process ends", () => p.exit());
  },
});
