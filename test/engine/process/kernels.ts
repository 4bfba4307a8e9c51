/**
 * Kernels for the tests of processes: machines that are large and small, with and
 * without swap, and the designs that they are run in.
 */
import { parseDesign } from "../../../src/engine/design/presets.js";
import type { RuleViolation } from "../../../src/engine/errors.js";
import { Kernel, type KernelRequest } from "../../../src/engine/process/kernel.js";
import { watchKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";

/** Every word, map-count policy, home of page bits, and descriptors separated in part and wholly. */
export const PROCESS_DESIGNS: readonly string[] = [
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

export interface KernelShape {
  readonly name: string;
  readonly request: KernelRequest;
  /** Pages of the hugetlb pool. */
  readonly hugePages: number;
  /** Limit of the cgroup that processes belong to; 0 for none. */
  readonly limit: number;
  /** Memory may run out. */
  readonly mayFail: boolean;
  /** Pages left free at the start. */
  readonly leave?: number;
}

export const KERNELS: readonly KernelShape[] = [
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
];

/** The first few of what was found, readable in a failed test. */
export const told = (found: readonly RuleViolation[]): string[] =>
  found.slice(0, 4).map((v) => v.message);

/** Boots it with the sanitizer's events on. */
export function bootKernel(request: KernelRequest, design: string): Kernel {
  const kernel = Kernel.boot(request, parseDesign(design));
  watchKernel(kernel);
  return kernel;
}
