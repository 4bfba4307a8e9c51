/**
 * Reading the live machine against dd of the same files, one after the other.
 *
 * `inspect --kinds-only` reads kpageflags and no other page file (map counts and
 * cgroups say nothing about kinds), so it stands against dd of kpageflags; the
 * whole reading that a report with designs begins with reads all three and
 * stands against dd of the three. All commands of a round run in turn, and the
 * order moves on from round to round. `dd` is a process, so what is compared
 * with it is a process too: Node's own start is in the figure.
 */
import { availableParallelism } from "node:os";
import { canReadLive } from "../src/observe/procfs/live.node.js";
import { findPageTypes } from "./page-types.js";
import { CLI, own } from "./places.js";
import { figure, heading, median, note, progress, skip } from "./print.js";
import { mustRun, which } from "./processes.js";
import type { Section } from "./section.js";

/** One thing that is timed; resolves to seconds. */
interface Runner {
  readonly name: string;
  /** Name of the runner it is compared with. */
  readonly against?: string;
  readonly most?: number;
  time(cpus: string): Promise<number>;
}

const dd = async (file: string, cpus: string): Promise<number> =>
  (await mustRun("dd", [`if=/proc/${file}`, "of=/dev/null", "bs=512k"], { cpus })).seconds;

const FLAGS = "dd kpageflags";
const ALL = "dd of the three page files";

async function ddAll(cpus: string): Promise<number> {
  let seconds = 0;
  for (const file of ["kpageflags", "kpagecount", "kpagecgroup"]) seconds += await dd(file, cpus);
  return seconds;
}

const read = async (pages: string, cpus: string, threads: number): Promise<number> =>
  Number(
    (await mustRun(process.execPath, [own("read-child"), pages, `${threads}`], { cpus })).stdout,
  );

function runners(threads: number, most: number, pageTypes: string | null): Runner[] {
  const list: Runner[] = [
    { name: FLAGS, time: (cpus) => dd("kpageflags", cpus) },
    {
      name: "inspect --kinds-only, process",
      against: FLAGS,
      most,
      time: async (cpus) =>
        (await mustRun(process.execPath, [CLI, "inspect", "--kinds-only"], { cpus })).seconds,
    },
    {
      name: "  its reading alone",
      against: FLAGS,
      most,
      time: (cpus) => read("flags-only", cpus, threads),
    },
    { name: ALL, time: ddAll },
    {
      name: "reading all three, in the process",
      against: ALL,
      most,
      time: (cpus) => read("all", cpus, threads),
    },
  ];
  if (pageTypes !== null)
    list.push({
      name: "page-types",
      against: FLAGS,
      time: async (cpus) => (await mustRun(pageTypes, [], { cpus })).seconds,
    });
  return list;
}

async function compare(
  title: string,
  cpus: string,
  list: readonly Runner[],
  rounds: number,
): Promise<void> {
  const seconds = new Map(list.map((r) => [r.name, [] as number[]]));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < list.length; i++) {
      const runner = list[(i + round) % list.length];
      progress(`${title}: round ${round + 1} of ${rounds}, ${runner.name.trim()}`);
      seconds.get(runner.name)?.push(await runner.time(cpus));
    }
  }
  heading(title, `seconds, ${rounds} rounds`);
  for (const { name, against, most } of list) {
    const values = seconds.get(name) ?? [];
    const base = against === undefined ? null : median(seconds.get(against) ?? []);
    figure({
      name,
      values,
      ...(base !== null && { ratio: median(values) / base }),
      ...(most !== undefined && { target: { most } }),
    });
  }
}

export const live: Section = {
  name: "live",
  async run(quick) {
    const what = "reading the live machine against dd and page-types";
    const can = canReadLive();
    if (!can.ok) return skip(what, can.why);
    if (which("dd") === null || which("taskset") === null)
      return skip(what, "there is no dd or no taskset");
    const tool = findPageTypes();
    const pageTypes = "path" in tool ? tool.path : null;
    const rounds = quick ? 1 : 9;
    await compare("LIVE, ONE CORE, against dd", "0", runners(1, 1.25, pageTypes), rounds);
    if (availableParallelism() < 2) skip("two cores", "this machine has one CPU");
    else await compare("LIVE, TWO CORES, against dd", "0,1", runners(2, 1, pageTypes), rounds);
    if ("missing" in tool) skip("page-types", tool.missing);
    note(
      "limit: the kernel makes up each word when it is read; a process also has Node's start, loading of the command's modules, and classification and report in cold code.",
    );
  },
};
