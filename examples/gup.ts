/**
 * Pages for somebody else: a device gets or pins the pages of a process. Fast
 * where the page tables say enough, slow where they do not; a pin keeps the very
 * page it was given, over fork, unmap and reclaim; what may not be pinned is
 * refused with the kernel's errno.
 */
import {
  defineScenario,
  FOLL_LONGTERM,
  FOLL_PIN,
  FOLL_WRITE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  UserPages,
} from "memdesc";

const PAGE = 4096;
const RW = PROT_READ | PROT_WRITE;

export default defineScenario({
  name: "gup",
  about: "get and pin user pages: O_DIRECT, RDMA, and what is refused",
  machine: { memory: "64MiB" },

  run(s) {
    const { kernel } = s;
    const p = kernel.createProcess();
    const at = p.mmap({ length: 8 * PAGE, prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS });

    s.step("O_DIRECT reads two pages from a disk into user memory", () =>
      UserPages.directRead(p, at + 100, new Uint8Array(2 * PAGE).fill(6)),
    );
    s.expect("the process reads what came", p.read(at + 100, 1)[0], 6);
    s.repeat("pin and unpin a page that is there", 16, () =>
      p.gup(at, PAGE, FOLL_PIN | FOLL_WRITE).release(),
    );
    s.expect("the fast way", kernel.gup.fast, 16);

    const region = s.step("a device registers four pages", () =>
      UserPages.register(p, at, 4 * PAGE),
    );
    const child = s.step("fork: the child gets copies, the device keeps its pages", () => p.fork());
    s.expect("the parent's frame is the device's", p.pagemap(at).pfn, region.pfns[0]);
    s.step("the device writes", () => region.write(0, Uint8Array.of(42)));
    s.expect("the parent sees it", p.read(at, 1)[0], 42);
    s.step("the parent unmaps the memory; the pages stay with the device", () =>
      p.munmap(at, 4 * PAGE),
    );
    s.expect("the device still reads", region.read(0, 1)[0], 42);
    s.step("it lets go, and they are free", () => region.release(true));
    child.exit();

    const none = p.mmap({ length: PAGE, prot: PROT_NONE, flags: MAP_PRIVATE | MAP_ANONYMOUS });
    s.refused("EFAULT", () => p.gup(none, PAGE, FOLL_PIN));
    s.refused("EFAULT", () => p.gup(0x1000, PAGE, FOLL_PIN));
    const disk = kernel.createFile("disk", PAGE);
    const mapped = p.mmap({ length: PAGE, prot: RW, flags: MAP_SHARED, file: disk });
    s.refused("EFAULT", () => p.gup(mapped, PAGE, FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM));
    s.step("all ends", () => {
      p.exit();
      disk.close();
      disk.unlink();
    });
  },
});
