/**
 * The soak run of processes: random programs on kernels of several sizes, in each
 * design, beside the naive reference; every rule of the sanitizer again and again;
 * everything ended at the end, nothing left.
 *
 * Programs are of a few thousand steps each, on a kernel of their own: a machine
 * that has lived long differs less from another one than two young ones do.
 */
import { parseDesign } from "../dist/engine/design/presets.js";
import { Kernel } from "../dist/engine/process/kernel.js";
import { numbers } from "../dist/engine/sanitizer/process/program.js";
import { watchKernel } from "../dist/engine/sanitizer/process/sanitizer.js";
import { ProcessWalk } from "../dist/engine/sanitizer/process/walk.js";

/** Every word, map-count policy, home of page bits, and descriptors separated in part and wholly. */
export const PROCESS_DESIGNS = [
  "today",
  "today+separated=page-table",
  "today+separated=all",
  "today+mapcount=per-folio",
  "page32",
  "page32+mapcount=per-folio",
  "memdesc16",
  "memdesc16+page-bits=type",
  "memdesc8",
  "memdesc8+page-bits=descriptor",
  "slot64",
];

const SHAPES = [
  {
    name: "128 MiB, two nodes, large folios, swap, hugetlb",
    request: {
      memory: "128MiB",
      nodes: 2,
      cpus: 2,
      swap: "16MiB",
      policy: {
        thp: "always",
        thpOrders: { 2: "always", 4: "madvise", 9: "inherit" },
        fileFolioOrder: 2,
      },
    },
    hugePages: 6,
    limit: 0,
    mayFail: false,
  },
  {
    name: "8 MiB of which 1 MiB is left, swap of 1 MiB",
    request: {
      memory: "8MiB",
      cpus: 2,
      swap: "1MiB",
      policy: {
        thp: "always",
        thpOrders: { 2: "always", 4: "always", 9: "inherit" },
        fileFolioOrder: 1,
      },
    },
    hugePages: 0,
    limit: 0,
    mayFail: true,
    leave: 256,
  },
  {
    name: "64 MiB, single pages, no swap",
    request: { memory: "64MiB", policy: { thp: "never" } },
    hugePages: 2,
    limit: 0,
    mayFail: false,
  },
  {
    name: "64 MiB, a cgroup of 120 pages that pays for descriptors",
    request: {
      memory: "64MiB",
      swap: "1MiB",
      chargeDescriptors: true,
      policy: { thpOrders: { 3: "always", 9: "inherit" } },
    },
    hugePages: 0,
    limit: 120,
    mayFail: true,
  },
];

/** Steps of one program. */
const PROGRAM = 4000;

/** One program from its seed: what was found, as lines. */
function program(shape, design, seed, steps, every, count) {
  const kernel = Kernel.boot(shape.request, parseDesign(design));
  if (shape.hugePages > 0) kernel.setHugePages(shape.hugePages);
  watchKernel(kernel);
  const leave = shape.leave === undefined ? {} : { leave: shape.leave };
  const memcg = shape.limit > 0 ? kernel.createMemcg(shape.limit) : 0;
  const walk = new ProcessWalk(kernel, { mayFail: shape.mayFail, ...leave }, memcg);
  const next = numbers(seed);
  try {
    for (let i = 1; i <= steps; i++) {
      walk.step(next.next().value);
      if (i % every !== 0) continue;
      const found = walk.check();
      if (found.length > 0) return found.map((v) => v.message);
    }
    return [...walk.check(), ...walk.finish()].map((v) => v.message);
  } catch (error) {
    return [`step ${walk.steps}: ${error.message}`];
  } finally {
    count.steps += walk.steps;
    count.refusals += walk.failures;
  }
}

/** Runs one design; how many programs broke a rule. `stopped` says when to end early. */
export async function soakProcesses(design, { ops, seed, every }, stopped, progress) {
  const count = { steps: 0, refusals: 0 };
  const started = performance.now();
  let broken = 0;
  for (let i = 0; count.steps < ops && !stopped(); i++) {
    const shape = SHAPES[i % SHAPES.length];
    const steps = Math.min(PROGRAM, ops - count.steps);
    const found = program(shape, design, seed + i, steps, every, count);
    progress(`${design}: ${count.steps} of ${ops} steps, ${count.refusals} refusals`);
    if (found.length > 0) {
      broken++;
      progress("");
      console.log(`  ${design}, ${shape.name}, seed ${seed + i}:`);
      for (const line of found.slice(0, 4)) console.log(`    ${line}`);
    }
    // Lets Ctrl-C be heard between programs.
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  progress("");
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `${design}: ${count.steps} steps of processes, seed ${seed}, ${seconds} s, ${count.refusals} refusals, ${broken} programs with violations${stopped() ? ", interrupted" : ""}`,
  );
  return broken;
}
