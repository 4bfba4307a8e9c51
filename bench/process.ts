/**
 * What memory management does for processes, per page, by design, beside the same
 * loops on the running kernel in the same run; and the host memory that a fully
 * populated machine takes for its metadata.
 *
 * The engine's figure is the handler's: no trap, no TLB, no zeroing of pages; the
 * kernel's is all of that. So the two say whether the engine is fast enough to
 * stand for a kernel, not which of them is better.
 */
import { DEFAULT_DESIGNS } from "../src/engine/design/presets.js";
import { kernelSeries } from "./kernel.js";
import { own } from "./places.js";
import { figure, heading, note, progress, short } from "./print.js";
import { mustRun } from "./processes.js";
import type { Section } from "./section.js";

/** The kernel's line for each operation, and the target where there is one: million pages/s. */
const OPERATIONS: readonly { name: string; kernel?: string; least?: number; beat?: boolean }[] = [
  { name: "anonymous fault", kernel: "anon 4K write-fault touch", least: 3 },
  { name: "unmap", kernel: "munmap of the same", beat: true },
  { name: "fork", kernel: "fork() return, 256 MiB anon 4K" },
  { name: "copy-on-write fault", kernel: "child COW write-fault, 256 MiB", beat: true },
  { name: "exit" },
  { name: "file read fault, 16 around", kernel: "file mmap read, cached, fault-around" },
  { name: "unmap of a file" },
  { name: "GUP-fast pin + unpin" },
  { name: "migration" },
  { name: "huge fault, per 4 KiB", kernel: "anon THP touch (per 4K page)" },
  { name: "unmap of huge, per 4 KiB", kernel: "munmap THP (per 4K page)" },
];

type Series = Readonly<Record<string, readonly number[]>>;

export const processes: Section = {
  name: "process",
  async run(quick) {
    const of = new Map<string, Series>();
    for (const design of DEFAULT_DESIGNS) {
      progress(`processes: ${design}`);
      const args = [own("process-child"), design, ...(quick ? ["2", "8192"] : ["15", "65536"])];
      of.set(design, JSON.parse((await mustRun(process.execPath, args)).stdout) as Series);
    }
    progress("the same loops on the kernel");
    const kernel = await kernelSeries(quick);
    for (const { name, kernel: line, least, beat } of OPERATIONS) {
      heading(`PROCESSES: ${name}`, "million pages/s");
      const there = line === undefined ? undefined : kernel?.get(line);
      for (const design of DEFAULT_DESIGNS) {
        const values = (of.get(design)?.[name] ?? []).map((ns) => 1000 / ns);
        const target = least !== undefined ? { least } : undefined;
        const ratio =
          beat && there ? { ratio: rate(values) / rate(there), target: { least: 1 } } : {};
        figure({ name: design, values, ...(target && { target }), ...ratio });
      }
      if (there !== undefined) figure({ name: "the running kernel", values: there });
    }
    await hostMemory();
    note(
      "Engine: the fault handler with folio, reverse map, LRU and charge done, on 65,536 pages a round, 2 GiB machines; contents are not touched. Kernel: kernel-speed.c, with trap and zeroing.",
    );
  },
};

const rate = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1];

/** (Host memory after − before) / reserved metadata bytes, every frame in use. */
async function hostMemory(): Promise<void> {
  console.log("\nHOST MEMORY of a machine of 2 GiB, every frame in use / its metadata");
  for (const design of DEFAULT_DESIGNS) {
    progress(`host memory: ${design}`);
    const { stdout } = await mustRun(process.execPath, [
      "--expose-gc",
      own("memory-child"),
      design,
    ]);
    const { host, metadata } = JSON.parse(stdout) as { host: number; metadata: number };
    const ratio = host / metadata;
    const mib = (n: number): string => short(n / 2 ** 20).padStart(8);
    const verdict = ratio <= 1.3 ? "met" : "missed";
    console.log(
      `  ${design.padEnd(12)}${mib(host)} MiB${mib(metadata)} MiB  ${ratio.toFixed(2)}x <=1.3 ${verdict}`,
    );
  }
}
