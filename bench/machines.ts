/** Machines to measure on: the zones of a PC, with the limits that Linux 6.18 set on the bundled machine. */
import { parseDesign } from "../src/engine/design/presets.js";
import { Machine } from "../src/engine/machine.js";
import type { Words } from "../src/engine/words/words.js";
import type { Bytes } from "../src/units.js";

const GIB_FRAMES = 262_144;

/** A dense machine, all memory above the first 4 MiB free: DMA32 up to 4 GiB, Normal above. */
export function bootMachine(
  gib: number,
  design: string,
  makeWords?: (size: Bytes) => Words,
): Machine {
  const frames = gib * GIB_FRAMES;
  const low = Math.min(frames, 4 * GIB_FRAMES);
  const zone = (type: number, start: number, end: number, min: number, reserve: number) => ({
    node: 0,
    type,
    start,
    spanned: end - start,
    min,
    low: min + (min >> 2),
    high: min + (min >> 1),
    reserve,
  });
  const zones = [zone(1, 0, low, 6906, 4352)];
  const pcp = [{ high: 4316, batch: 63 }];
  if (frames > low) {
    zones.push(zone(2, low, frames, 9955, 0));
    pcp.push({ high: 10_037, batch: 63 });
  }
  const config = { frames, zones, present: [{ start: 0, end: frames }], cpus: 2, pcp };
  const machine = Machine.boot(config, parseDesign(design), makeWords);
  machine.giveRange(1024, frames);
  return machine;
}
