/** What a driver's test asks of a kernel after every operation: no rule is broken. */
import type { Kernel } from "../../../src/engine/process/kernel.js";
import { inspectProcesses } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { inspectMachine } from "../../../src/engine/sanitizer/sanitizer.js";
import { heldBlocks } from "../../../src/scenario/held.js";

/** Messages of all broken rules. Who holds folios outside is in `kernel.userPages`. */
export function broken(kernel: Kernel): string[] {
  const held = heldBlocks(kernel.machine, kernel.given);
  const folios = [...kernel.userPages].flatMap(({ pfns, pinned }) =>
    [...pfns].map((pfn) => ({ pfn, refs: pinned ? 0 : 1, pins: pinned ? 1 : 0, who: "outside" })),
  );
  return [
    ...inspectMachine(kernel.machine, { given: kernel.given, held }),
    ...inspectProcesses(kernel, { folios, blocks: held }),
  ].map((v) => v.message);
}

/** Pages on free lists, after caches gave back what they can. */
export function freePages(kernel: Kernel): number {
  const { machine } = kernel;
  machine.caches.shrink();
  machine.allocator.drainAll();
  return machine.config.zones.reduce((sum, _, zone) => sum + machine.buddy.freePages(zone), 0);
}
