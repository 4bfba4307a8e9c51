/**
 * The hugetlb pool: pages of 2 MiB set aside, promised when a mapping is made and
 * taken when it is touched. In the pool nobody has a descriptor for them; a design
 * with separate ones allocates it with the fault, and frees it with the page.
 */
import {
  defineScenario,
  MADV_DONTNEED,
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from "memdesc";

const HUGE = 2 ** 21;
const PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB;

export default defineScenario({
  name: "hugetlb",
  about: "a pool of huge pages: promise, fault, copy on write without a page to spare",
  machine: { memory: "64MiB" },

  run(s) {
    const { kernel } = s;
    const { hugetlb } = kernel;
    const pool = (): string => `${hugetlb.free} free, ${hugetlb.reserved} promised`;
    const map = (length: number): number =>
      p.mmap({ length, prot: PROT_READ | PROT_WRITE, flags: PRIVATE });

    s.step("two huge pages are set aside", () => kernel.setHugePages(2));
    const p = kernel.createProcess();
    const at = s.step("a mapping of both is promised them", () => map(2 * HUGE));
    s.expect("none is taken yet", pool(), "2 free, 2 promised");
    s.refused("ENOMEM", () => map(HUGE));

    s.step("one touch takes the first", () => p.write(at, Uint8Array.of(1)));
    s.step("another the second", () => p.write(at + HUGE, Uint8Array.of(2)));
    s.expect("the pool is empty", pool(), "0 free, 0 promised");
    s.show("head and tail", [p.pagemap(at).pfn, p.pagemap(at).pfn + 511]);

    const child = s.step("fork: both processes map them, read-only", () => p.fork());
    s.expect("the child sees the same page", child.pagemap(at).pfn, p.pagemap(at).pfn);
    s.refused("SIGBUS", () => child.write(at, Uint8Array.of(3)));

    const { pfn } = p.pagemap(at);
    s.step("who was promised it writes, and takes it from the child", () =>
      p.write(at, Uint8Array.of(4)),
    );
    s.expect("no copy was made", p.pagemap(at).pfn, pfn);
    s.refused("SIGBUS", () => child.touch(at, "read"));
    s.expect("the other page is shared still", child.read(at + HUGE, 1)[0], 2);
    s.step("the child ends", () => child.exit());

    s.step("the first page is given up", () => p.madvise(at, HUGE, MADV_DONTNEED));
    s.expect("and promised again", pool(), "1 free, 1 promised");
    s.step("the process ends", () => p.exit());
    s.expect("both are back", pool(), "2 free, 0 promised");
    s.step("the pool is dissolved", () => kernel.setHugePages(0));
  },
});
