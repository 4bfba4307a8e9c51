/**
 * GPU memory oversubscribed twice: a process computes on 4 MiB with a GPU under amdkfd that
 * has 2 MiB. What comes in drives out the buffer object that was made longest ago, so a pass
 * from front to back is the worst case.
 */
import { defineScenario, KfdDevice, SvmRangeList } from "memdesc";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "memdesc";

const PAGE = 4096;
const VRAM = 512;
const CHUNK = 64;
const CHUNKS = 16;
const all = Array.from({ length: CHUNKS }, (_, i) => i);
/** A loop that fits. */
const few = all.slice(6, 12);

export default defineScenario({
  name: "GPU memory oversubscribed twice",
  about: "a process works on twice as much memory as its GPU has; chunks come and go",
  machine: { memory: "64MiB", device: { private: "128MiB", span: "128MiB" } },

  run(s) {
    const gpu = new KfdDevice(s.devices, { name: "gpu", vramPages: VRAM });
    const p = s.kernel.createProcess();
    const svms = new SvmRangeList(gpu, p);
    const length = CHUNKS * CHUNK * PAGE;
    const at = p.mmap({ length, prot: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | MAP_ANONYMOUS });
    const places = (i: number): number[] =>
      Array.from({ length: CHUNK }, (_, k) => at + (i * CHUNK + k) * PAGE);
    for (const i of all) svms.setRange(places(i)[0], CHUNK * PAGE);
    for (const i of all) for (const place of places(i)) p.write(place, Uint8Array.of(i));

    /** The GPU adds one to each page of some chunks, in its own memory; how many it drove out. */
    const pass = (chunks: readonly number[]): number => {
      const before = gpu.evictions;
      const byte = new Uint8Array(1);
      for (const i of chunks) {
        svms.toVram(places(i)[0]);
        for (const place of places(i)) {
          svms.gpu.read(place, byte);
          svms.gpu.write(place, Uint8Array.of(byte[0] + 1));
        }
      }
      return gpu.evictions - before;
    };
    const first = s.step("a first pass over all of it", () => pass(all));
    s.expect("the second half drove out the first", first, CHUNKS / 2);
    const second = s.step("a second: what comes next has just been driven out", () => pass(all));
    s.expect("every chunk drove out another", second, CHUNKS);
    const back = s.step("back to front: half of it is still there", () => pass(all.toReversed()));
    s.expect("the first half drove out the second", back, CHUNKS / 2);
    const hot = s.step("three passes over six chunks, two there", () =>
      pass([...few, ...few, ...few]),
    );
    s.expect("each was brought in once, as the oldest two went first", hot, few.length);
    s.expect("pages of the GPU in service", gpu.map.inService, VRAM);

    s.step("the process reads all of it, which brings every page back", () => {
      const wrong = all.filter((i) =>
        places(i).some((place) => p.read(place, 1)[0] !== i + 3 + (few.includes(i) ? 3 : 0)),
      );
      s.expect("chunks that are not what the GPU computed", wrong.length, 0);
      s.expect("pages still in service", gpu.map.inService, 0);
    });
    p.exit();
    svms.close();
    s.expect("the driver can go", gpu.fini(), 0);
  },
});
