/**
 * Kernels that random programs run on: large and small, with and without swap,
 * with large folios and without, with a cgroup that pays. Tests, the matrix of
 * designs and the soak run all take them from here.
 */
import type { Design } from "../../design/presets.js";
import { Kernel, type KernelRequest } from "../../process/kernel.js";
import type { Ref } from "../../../units.js";
import { watchKernel } from "./sanitizer.js";
import { ProcessWalk } from "./walk.js";

/** One kernel, and how a walk over it begins. */
export interface WalkMachine {
  readonly name: string;
  readonly request: KernelRequest;
  /** Pages of the hugetlb pool. */
  readonly hugePages: number;
  /** Limit in pages of the cgroup that processes belong to; 0 for none. */
  readonly limit: number;
  /** Memory may run out. */
  readonly mayFail: boolean;
  /** Pages left free at the start. */
  readonly leave?: number;
}

export const WALK_MACHINES: readonly WalkMachine[] = [
  {
    name: "two nodes, large folios everywhere, swap",
    request: {
      memory: "64MiB",
      nodes: 2,
      cpus: 2,
      swap: "8MiB",
      policy: {
        thp: "always",
        thpOrders: { 2: "always", 4: "madvise", 9: "inherit" },
        fileFolioOrder: 2,
      },
    },
    hugePages: 4,
    limit: 0,
    mayFail: false,
  },
  {
    name: "8 MiB with swap: reclaim, and no memory at all",
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
    leave: 192,
  },
  {
    name: "a cgroup of 100 pages that pays for descriptors",
    request: {
      memory: "64MiB",
      swap: "1MiB",
      chargeDescriptors: true,
      policy: { thpOrders: { 3: "always", 9: "inherit" } },
    },
    hugePages: 0,
    limit: 100,
    mayFail: true,
  },
  {
    name: "single pages, no swap",
    request: { memory: "64MiB", policy: { thp: "never" } },
    hugePages: 2,
    limit: 0,
    mayFail: false,
  },
];

/** Boots it in a design with the sanitizer's events on, and begins a walk. */
export function startWalk(machine: WalkMachine, design: Design): ProcessWalk {
  const kernel = Kernel.boot(machine.request, design);
  watchKernel(kernel);
  if (machine.hugePages > 0) kernel.setHugePages(machine.hugePages);
  const leave = machine.leave === undefined ? {} : { leave: machine.leave };
  const memcg = machine.limit > 0 ? kernel.createMemcg(machine.limit) : (0 as Ref);
  return new ProcessWalk(kernel, { mayFail: machine.mayFail, ...leave }, memcg);
}
