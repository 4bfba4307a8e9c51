/**
 * GPU memory oversubscribed twice: a process computes on 4 MiB with a GPU that has
 * 2 MiB. Every chunk that comes in drives out the one that was used longest ago, and
 * page by page the references, mappings and records follow.
 *
 * A GPU under amdkfd: buffer objects of VRAM, evicted in the order in which they were
 * made. A pass from front to back is the worst case of that order.
 */
import {
  defineScenario,
  KfdDevice,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  SvmRangeList,
} from "memdesc";

const PAGE = 4096;
const VRAM = 512;
const CHUNK = 64;
/** Twice what the GPU has. */
const CHUNKS = (2 * VRAM) / CHUNK;
/** Chunks of a loop that fits: of those that the way back leaves on the GPU, the first to go. */
const HOT_FIRST = 6;
const HOT = 6;

export default defineScenario({
  name: "GPU memory oversubscribed twice",
  about: "a process works on twice as much memory as its GPU has; chunks come and go",
  machine: { memory: "64MiB", device: { private: "128MiB", span: "128MiB" } },

  run(s) {
    const { kernel, devices } = s;
    const gpu = s.step(
      "a GPU with 2 MiB of memory",
      () => new KfdDevice(devices, { name: "gpu", vramPages: VRAM }),
    );
    s.finding("records made with its page map, bytes", gpu.reservedBytes);
    const p = kernel.createProcess();
    const svms = new SvmRangeList(gpu, p);
    const at = p.mmap({
      length: CHUNKS * CHUNK * PAGE,
      prot: PROT_READ | PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS,
    });
    const chunk = (i: number): number => at + i * CHUNK * PAGE;
    s.step("the process fills 4 MiB, in chunks of 64 pages that the GPU will use", () => {
      for (let i = 0; i < CHUNKS; i++) {
        svms.setRange(chunk(i), CHUNK * PAGE);
        for (let k = 0; k < CHUNK; k++) p.write(chunk(i) + k * PAGE, Uint8Array.of(i));
      }
    });

    /** The GPU adds one to each page of a chunk, in its own memory. */
    const compute = (i: number): void => {
      if (svms.toVram(chunk(i)) < 0) throw new Error("the GPU has no room for a chunk");
      const byte = new Uint8Array(1);
      for (let k = 0; k < CHUNK; k++) {
        svms.gpu.read(chunk(i) + k * PAGE, byte);
        byte[0]++;
        svms.gpu.write(chunk(i) + k * PAGE, byte);
      }
    };
    const pass = (chunks: readonly number[]): number => {
      const before = gpu.evictions;
      for (const i of chunks) compute(i);
      return gpu.evictions - before;
    };
    const all = Array.from({ length: CHUNKS }, (_, i) => i);

    const first = s.step("a first pass over all of it", () => pass(all));
    s.expect("the second half drove out the first", first, CHUNKS / 2);
    s.expect("the GPU is full", gpu.map.inService, VRAM);
    const second = s.step("a second pass: whatever comes next has just been driven out", () =>
      pass(all),
    );
    s.expect("every chunk drives out another", second, CHUNKS);
    const back = s.step("a pass from back to front: half of it is still there", () =>
      pass(all.toReversed()),
    );
    s.finding("chunks driven out on the way back", back);
    const hot = s.step("four passes over six chunks, which fit", () => {
      const few = all.slice(HOT_FIRST, HOT_FIRST + HOT);
      return pass([...few, ...few, ...few, ...few]);
    });
    s.expect("four of them and the two that those drive out, once", hot, HOT);

    s.step("the process reads all of it, which brings every page back", () => {
      const wrong = all.filter((i) => {
        const wanted = i + 3 + (i >= HOT_FIRST && i < HOT_FIRST + HOT ? 4 : 0);
        return Array.from({ length: CHUNK }, (_, k) => p.read(chunk(i) + k * PAGE, 1)[0]).some(
          (byte) => byte !== wanted,
        );
      });
      s.expect("chunks with a page that is not what the GPU computed", wrong.length, 0);
      s.expect("pages still in service", gpu.map.inService, 0);
    });
    s.step("the process ends, and the driver goes", () => {
      svms.close();
      p.exit();
      s.expect("it can", gpu.fini(), 0);
    });
  },
});
