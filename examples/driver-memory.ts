/**
 * Driver memory: a driver says what it needs and gets the cheapest kind that has
 * it. In today's kernel a page has everything whoever asks; the smaller the page,
 * the more it pays to ask for little.
 */
import { defineScenario, DriverMemory, FOLL_PIN, FOLL_WRITE } from "memdesc";

const PAGE = 4096;

export default defineScenario({
  name: "driver memory",
  about: "Misc, managed memory or a folio: what a driver needs decides",
  machine: { memory: "64MiB" },

  run(s) {
    const { kernel } = s;
    const memory = new DriverMemory(kernel);
    const p = kernel.createProcess();

    const plain = s.step("memory that user space only loads and stores", () =>
      memory.allocate({ userMap: true, order: 2 }),
    );
    s.finding("load and store", `${plain.kind}, ${plain.bytesPerPage} bytes a page`);
    s.show("two of its pages", [plain.pfn, plain.pfn + 3]);
    const at = s.step("mapped by frame number", () => plain.mmap(p));
    p.write(at, Uint8Array.of(1));
    s.refused("EFAULT", () => p.gup(at, PAGE, FOLL_PIN));

    const held = s.step("memory with a count and a list head", () =>
      memory.allocate({ refcount: true, list: true }),
    );
    s.finding("count and list", `${held.kind}, ${held.bytesPerPage} bytes a page`);
    s.step("a second user holds it", () => held.get());
    s.expect("references", held.references, 2);
    s.expect("the first lets go, it stays", held.put(), false);
    s.step("the second lets go", () => held.put());

    const shared = s.step("memory that may be registered with RDMA", () =>
      memory.allocate({ userMap: true, gup: true, pin: true }),
    );
    s.finding("GUP and pins", `${shared.kind}, ${shared.bytesPerPage} bytes a page`);
    const there = shared.mmap(p);
    const pin = s.step("it is pinned", () => p.gup(there, PAGE, FOLL_PIN | FOLL_WRITE));
    s.step("the driver frees it too early", () => shared.free());
    s.step("the process ends; the pin keeps the page", () => p.exit());
    pin.write(0, Uint8Array.of(2));
    s.expect("the device still reads it", pin.read(0, 1)[0], 2);
    s.step("unpinned, it is free", () => pin.release());

    const q = kernel.createProcess();
    const again = plain.mmap(q);
    const stale = s.step("the plain memory, freed under a mapping", () => plain.free());
    s.finding("pages that a process reaches though they are free", stale.length);
    q.munmap(again, 4 * PAGE);
    q.exit();
    memory.file.close();
  },
});
