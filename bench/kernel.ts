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

/** Every line that kernel-speed.c prints, million pages per second: most, median, least; null where it cannot be measured. */
export async function kernelSeries(quick: boolean): Promise<Map<string, number[]> | null> {
  const lines = await measure(quick);
  if (lines === null) return null;
  const found = new Map<string, number[]>();
  // Of two lines with one name the first is about anonymous memory.
  for (const { name, values } of lines) {
    if (!found.has(name))
      found.set(
        name,
        values.map((ns) => 1000 / ns),
      );
  }
  return found;
}

interface Line {
  readonly name: string;
  /** Least, median, most; ns per page. */
  readonly values: readonly number[];
}

/** Compiles and runs kernel-speed.c; null, with the reason printed, where that cannot be. */
async function measure(quick: boolean): Promise<Line[] | null> {
  const no = (why: string): null => {
    skip("the kernel's own speed", why);
    return null;
  };
  if (process.platform !== "linux") return no("this is not Linux");
  const source = shared("lab/kernel-speed.c");
  if (source === null) return no("kernel-speed.c is not there (MEMDESC_SHARED)");
  const cc = which("cc") ?? which("gcc") ?? which("clang");
  if (cc === null) return no("there is no C compiler");
  const program = join(temporaryFolder(), "kernel-speed");
  progress("compiling kernel-speed.c");
  const refused = buildStep(cc, ["-O2", "-w", "-o", program, source]);
  if (refused !== null) return no(`kernel-speed.c does not compile: ${refused}`);
  progress("measuring the kernel");
  const { stdout } = await mustRun(program, [quick ? "64" : "256"]);
  return stdout.split("\n").flatMap((text) => {
    const [, name, mid, least, most, ns] = LINE.exec(text) ?? [];
    if (name === undefined) return [];
    const scale = Number(ns) / Number(mid);
    return [{ name, values: [least, mid, most].map((ms) => Number(ms) * scale) }];
  });
}

export const kernel: Section = {
  name: "kernel",
  async run(quick) {
    const lines = await measure(quick);
    if (lines === null) return;
    heading(TITLE, "ns per page");
    const wanted = new Set(SHOWN);
    for (const { name, values } of lines) {
      // Later lines of the same name are about other mappings.
      if (wanted.delete(name)) figure({ name, values });
    }
  },
};
