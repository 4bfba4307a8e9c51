/**
 * The other users of scattered memory: a perf-like ring buffer, whose reader passes
 * records on with write() from its own mapping, which is GUP; and a kernel stack.
 * Where nothing counts the pages, that write() is refused.
 */
import { defineScenario } from "memdesc";

const PAGE = 4096;

export default defineScenario({
  name: "ring buffer",
  about: "a perf-like ring buffer and a kernel stack on scattered memory",
  machine: { memory: "64MiB" },

  run(s) {
    const { kernel } = s;
    const { scattered } = kernel;
    const counted = scattered.objects.object.holds !== "nothing";

    const ring = s.step("a control page and two pages of data", () => scattered.ringBuffer(1));
    const reader = kernel.createProcess();
    const at = s.step("mapped by its reader", () => ring.mmap(reader));
    s.step("the kernel writes 5,000 bytes of records", () =>
      ring.emit(new Uint8Array(5000).fill(7)),
    );
    s.expect("the reader sees them", reader.read(at + PAGE + 4999, 1)[0], 7);
    s.refused("ENOSPC", () => ring.emit(new Uint8Array(5000)));

    const file = kernel.createFile("disk");
    const write = (): void => ring.writeOut(reader, at, 5000, file);
    if (counted) s.step("the reader passes them on with write(), from its mapping", write);
    else s.refused("EFAULT", write);
    s.expect("bytes in the file", file.size, counted ? 5000 : 0);
    s.finding("GUP on the mapping", counted ? (kernel.gup.fast > 0 ? "fast" : "slow") : "refused");
    if (counted) {
      s.step("there is room again: records that go round the end", () =>
        ring.emit(new Uint8Array(5000).fill(8)),
      );
      s.expect("the first page of data has new ones", reader.read(at + PAGE, 1)[0], 8);
    }
    reader.exit();
    s.step("the ring buffer goes", () => ring.free());
    file.close();
    file.unlink();

    const stack = s.step("a kernel stack: four pages and a guard page", () => scattered.stack());
    stack.push(new Uint8Array(4 * PAGE - 8));
    let caught = "nothing";
    try {
      stack.push(new Uint8Array(16));
    } catch (error) {
      caught = error instanceof Error ? error.message.replace(/:.*$/, "") : caught;
    }
    s.expect("an overflow meets the guard page", caught, "the kernel touches what it maps");
    s.step("the thread ends", () => stack.free());
  },
});
