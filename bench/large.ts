/**
 * Machines larger than the host: `inspect --what-if ram=…` as a user runs it,
 * with the most memory that it held.
 *
 * The bundled snapshot is a quiet machine with long runs; the 256 MiB guest is
 * nearly all order 0. Above 1 TiB a size may be refused (the arena's end,
 * memdesc8's reach in one zone): that is then said instead of a figure.
 */
import { readSnapshotFile } from "../src/observe/capture/capture.node.js";
import { classify } from "../src/observe/classify/classify.js";
import { openSource } from "../src/observe/source.node.js";
import { applyWhatIfs } from "../src/observe/what-if/apply.js";
import type { Snapshot } from "../src/observe/snapshot.js";
import { existsSync } from "node:fs";
import { BUNDLED, CLI, GUEST } from "./places.js";
import { figure, heading, note, progress, short, skip } from "./print.js";
import { run } from "./processes.js";
import type { Section } from "./section.js";

/** A process that takes more than this is ended, so that the host stays usable. */
const MEMORY_LIMIT = 8 * 2 ** 30;
const TIME_LIMIT = 120;
const GROWTH = ["256GiB", "512GiB", "1TiB", "4TiB"];

async function inspect(name: string, source: string, ram: string, most?: number): Promise<void> {
  progress(`${name}, ${ram}`);
  const ran = await run(process.execPath, [CLI, "inspect", source, "--what-if", `ram=${ram}`], {
    memoryLimit: MEMORY_LIMIT,
    timeLimit: TIME_LIMIT,
  });
  if (ran.code !== 0) {
    const why =
      ran.code === null
        ? `ended by the benchmark after ${short(ran.seconds)} s (limits: 120 s, 8 GiB)`
        : (ran.stderr.trim().split("\n").at(-1) ?? "").replace(/^memdesc: /, "");
    return skip(`${name}, ${ram}`, why);
  }
  figure({ name: `${name}, ${ram}: seconds`, values: [ran.seconds] });
  if (ran.peak !== null)
    figure({
      name: `${name}, ${ram}: GiB`,
      values: [ran.peak / 2 ** 30],
      ...(most !== undefined && { target: { most } }),
    });
}

/** Frames and object runs of a source at each size: what time can grow with. */
function growth(name: string, snapshot: Snapshot): void {
  const source = { snapshot, classification: classify(snapshot) };
  for (const ram of GROWTH) {
    const { snapshot: larger, classification } = applyWhatIfs(source, [`ram=${ram}`]);
    note(
      `${name}, ${ram}: ${larger.frames.toLocaleString("en")} pages in ${classification.objects.length.toLocaleString("en")} runs`,
    );
  }
}

export const large: Section = {
  name: "large",
  async run(quick) {
    heading("1 TiB IN ALL FIVE DESIGNS (target: peak below 2 GiB)", "one run each");
    await inspect("bundled", BUNDLED, "1TiB", 2);
    if (existsSync(GUEST)) await inspect("guest", GUEST, "1TiB", 2);
    else skip("the guest", "the fixture is not in this checkout");
    if (quick) return;
    heading("GROWTH, all five designs", "one run each");
    for (const ram of GROWTH) await inspect("bundled", BUNDLED, ram);
    growth("bundled", await readSnapshotFile(BUNDLED));
    if (!existsSync(GUEST)) return;
    for (const ram of GROWTH) await inspect("guest", GUEST, ram);
    growth("guest", await openSource(GUEST));
  },
};
