/**
 * Processes and their pages: a first touch reads zeroes from a page that everyone
 * shares, a write gets a page of one's own, fork shares it again until one side
 * writes. What is written is read back, whatever happens to the pages between.
 */
import {
  defineScenario,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_MAYMOVE,
  PROT_READ,
  PROT_WRITE,
} from "memdesc";

const RW = PROT_READ | PROT_WRITE;
const PAGE = 4096;

export default defineScenario({
  name: "processes",
  about: "map, fault, fork, copy on write, move and give back memory",
  machine: { memory: "64MiB" },

  run(s) {
    const parent = s.step("a process", () => s.kernel.createProcess());
    const heap = s.step("it maps 16 pages of anonymous memory", () =>
      parent.mmap({ length: 16 * PAGE, prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS }),
    );
    s.step("a read maps the zero page", () => parent.touch(heap, "read"));
    s.expect("it is the zero page", parent.pagemap(heap).zero);

    s.step("a write gets a page of its own", () => parent.write(heap, bytes(1, 2, 3)));
    const before = parent.pagemap(heap).pfn;
    s.repeat("a minor fault", 8, (i) => parent.touch(heap + (i + 1) * PAGE, "write"));

    const child = s.step("fork: both have the page now", () => parent.fork());
    s.expect("the same frame", child.pagemap(heap).pfn, before);
    s.expect("and nobody may write it", !parent.pagemap(heap).writable);
    s.step("the child writes: a copy", () => child.write(heap, bytes(9)));
    s.expect("the parent still reads", parent.read(heap, 3).join(), "1,2,3");
    s.expect("the child reads", child.read(heap, 3).join(), "9,2,3");
    s.step("the parent writes: nobody else has it, it is taken over", () =>
      parent.write(heap, bytes(4)),
    );
    s.expect("no copy was made", parent.pagemap(heap).pfn, before);

    const shared = s.step("memory that is shared stays shared over fork", () =>
      parent.mmap({ length: PAGE, prot: RW, flags: MAP_SHARED | MAP_ANONYMOUS }),
    );
    const other = s.step("another child", () => parent.fork());
    s.step("it writes", () => other.write(shared, bytes(7)));
    s.expect("the parent reads it", parent.read(shared, 1)[0], 7);

    s.step("the last 8 pages may only be read", () =>
      parent.mprotect(heap + 8 * PAGE, 8 * PAGE, PROT_READ),
    );
    s.step("the first 8 move and grow", () => {
      const moved = parent.mremap(heap, 8 * PAGE, 24 * PAGE, MREMAP_MAYMOVE);
      s.expect("the content came along", parent.read(moved, 3).join(), "4,2,3");
    });
    s.refused("EINVAL", () => parent.munmap(heap + 1, PAGE));
    s.step("everybody ends", () => s.kernel.exitAll());
    s.finding("bytes of tables and descriptors left", left(s.kernel.machine.caches.usage()));
  },
});

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const left = (caches: readonly { objects: number; objectSize: number }[]): number =>
  caches.reduce((sum, c) => sum + c.objects * c.objectSize, 0);
