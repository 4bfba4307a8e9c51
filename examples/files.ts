/**
 * Files: one page cache under reads, writes and every mapping; private copies
 * where a process writes for itself; what a truncation takes away is gone from
 * all of them.
 */
import { defineScenario, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } from "memdesc";

const PAGE = 4096;
const RW = PROT_READ | PROT_WRITE;

export default defineScenario({
  name: "files",
  about: "page cache, fault-around, shared and private mappings, truncation",
  machine: { memory: "64MiB" },

  run(s) {
    const { kernel } = s;
    const p = kernel.createProcess();
    const file = s.step("a file of 32 pages on a disk", () => {
      const f = kernel.createFile("disk");
      f.write(0, new Uint8Array(32 * PAGE).fill(1));
      return f;
    });
    s.expect("its pages are cached", file.cached, 32);
    const addr = 0x1000_0000;
    const shared = p.mmap({
      addr,
      length: 32 * PAGE,
      prot: RW,
      flags: MAP_SHARED | MAP_FIXED,
      file,
    });
    const own = p.mmap({ length: 32 * PAGE, prot: RW, flags: MAP_PRIVATE, file });

    s.step("one read maps the aligned 64 KiB around it", () => p.touch(shared + 20 * PAGE, "read"));
    s.expect("sixteen are mapped", p.rss.file, 16);
    s.step("a write through the shared mapping", () => p.write(shared, Uint8Array.of(2)));
    s.expect("is in the file", file.read(0, 1)[0], 2);
    s.expect("and in the private mapping, which has no copy yet", p.read(own, 1)[0], 2);
    s.step("a write to the private one copies", () => p.write(own, Uint8Array.of(3)));
    s.expect("the file does not see it", file.read(0, 1)[0], 2);
    s.expect("one anonymous page", p.rss.anon, 1);

    s.step("dirty pages reach the disk", () => file.sync());
    s.step("the file shrinks to one page and a half", () => file.truncate(PAGE + PAGE / 2));
    s.expect("two pages are left", file.cached, 2);
    const signal = s.step("a read beyond its end", () =>
      signalOf(() => p.touch(shared + 3 * PAGE, "read")),
    );
    s.expect("is SIGBUS", signal, "SIGBUS");
    s.step("the process ends; the cache stays", () => p.exit());
    s.expect("cached", file.cached, 2);
    s.step("the file is removed, and its pages with it", () => {
      file.close();
      file.unlink();
    });
  },
});

function signalOf(access: () => void): string {
  try {
    access();
  } catch (error) {
    return error instanceof Error && "signal" in error ? String(error.signal) : String(error);
  }
  return "none";
}
