/** The machine itself: what the running kernel needs for a page, for scale. */
import { join } from "node:path";
import { shared, temporaryFolder } from "./places.js";
import { heading, figure, progress, skip } from "./print.js";
import { buildStep, mustRun, which } from "./processes.js";
import type { Section } from "./section.js";

const TITLE = "THE MACHINE ITSELF: what the running kernel needs for a page of 4 KiB";
/** Lines of kernel-speed that say something about this project's operations. */
const SHOWN: readonly string[] = [
  "anon 4K write-fault touch",
  "munmap of the same",
  "MADV_POPULATE_WRITE (no trap)",
];
const LINE = /^(.+?)\s+median\s+([\d.]+) ms\s+min\s+([\d.]+) max\s+([\d.]+)\s+([\d.]+) ns\/page/;

export const kernel: Section = {
  name: "kernel",
  async run(quick) {
    if (process.platform !== "linux") return skip("the kernel's own speed", "this is not Linux");
    const source = shared("lab/kernel-speed.c");
    if (source === null)
      return skip("the kernel's own speed", "kernel-speed.c is not there (MEMDESC_SHARED)");
    const cc = which("cc") ?? which("gcc") ?? which("clang");
    if (cc === null) return skip("the kernel's own speed", "there is no C compiler");
    const program = join(temporaryFolder(), "kernel-speed");
    progress("compiling kernel-speed.c");
    const refused = buildStep(cc, ["-O2", "-w", "-o", program, source]);
    if (refused !== null)
      return skip("the kernel's own speed", `kernel-speed.c does not compile: ${refused}`);
    progress("measuring the kernel");
    const { stdout } = await mustRun(program, [quick ? "64" : "256"]);
    heading(TITLE, "ns per page");
    const wanted = new Set(SHOWN);
    for (const text of stdout.split("\n")) {
      const [, name = "", mid, least, most, ns] = LINE.exec(text) ?? [];
      // Later lines of the same name are about other mappings.
      if (!wanted.delete(name)) continue;
      const scale = Number(ns) / Number(mid);
      figure({ name, values: [least, mid, most].map((ms) => Number(ms) * scale) });
    }
  },
};
