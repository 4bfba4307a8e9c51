/**
 * What the tests of processes share: the designs that they are run in, a kernel
 * with the sanitizer's events on, and what was found in words. Machines are in
 * sanitizer/process/machines.ts.
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

/** The first few of what was found, readable in a failed test. */
export const told = (found: readonly RuleViolation[], most = 4): string[] =>
  found.slice(0, most).map((v) => v.message);

/** Boots it with the sanitizer's events on. */
export function bootKernel(request: KernelRequest, design: string): Kernel {
  const kernel = Kernel.boot(request, parseDesign(design));
  watchKernel(kernel);
  return kernel;
}
