/**
 * Machines for the engine's tests: the shapes that make page allocators go wrong
 * (several zones, nodes that interleave, a start that is not aligned, holes), and
 * every design they are run in.
 */
import { Machine, type MachineConfig } from "../../src/engine/machine.js";
import { DEFAULT_DESIGNS, parseDesign } from "../../src/engine/design/presets.js";

/** Every preset, and the axes that change how blocks are bound and described. */
export const DESIGNS: readonly string[] = [
  ...DEFAULT_DESIGNS,
  "today+separated=page-table",
  "today+separated=page-table/zpdesc/slab/bump",
  "today+separated=all",
  "today+free-pointer=outside+separated=all",
  "memdesc16+page-bits=type",
  "memdesc8+page-bits=descriptor",
  "memdesc8+free-pointer=outside",
  "memdesc8+types=2024",
  "memdesc8+types=2024b",
  "page32+free-pointer=outside",
];

const DMA = 0;
const DMA32 = 1;
const NORMAL = 2;
const MOVABLE = 3;

export interface Shape {
  readonly name: string;
  readonly config: MachineConfig;
  /** What is given to the allocator at boot. */
  readonly given: readonly { readonly start: number; readonly end: number }[];
}

const zone = (
  node: number,
  type: number,
  start: number,
  end: number,
  min = 0,
  reserve = 0,
): MachineConfig["zones"][number] => ({
  node,
  type,
  start,
  spanned: end - start,
  min,
  low: min + (min >> 2),
  high: min + (min >> 1),
  reserve,
});

/** One zone, watermarks of 0: every page can be had. */
export const oneZone = (frames = 4096, cpus = 2): Shape => ({
  name: "one zone",
  config: {
    frames,
    zones: [zone(0, NORMAL, 0, frames)],
    present: [{ start: 0, end: frames }],
    cpus,
    pcp: [{ high: 56, batch: 14 }],
  },
  given: [{ start: 0, end: frames }],
});

/** DMA from frame 1 on, DMA32, Normal and Movable, as a small PC has them. */
const threeZones: Shape = {
  name: "zones from frame 1 on",
  config: {
    frames: 6144,
    zones: [
      zone(0, DMA, 1, 1024, 8, 64),
      zone(0, DMA32, 1024, 3072, 16, 32),
      zone(0, NORMAL, 3072, 5120, 16),
      zone(0, MOVABLE, 5120, 6144, 8),
    ],
    present: [{ start: 0, end: 6144 }],
    cpus: 2,
    pcp: [
      { high: 4, batch: 1 },
      { high: 40, batch: 10 },
      { high: 56, batch: 14 },
      { high: 56, batch: 14 },
    ],
  },
  given: [{ start: 1, end: 6144 }],
};

/** Two nodes whose spans interleave by pageblocks; who owns what is a list. */
const interleaved: Shape = {
  name: "nodes that interleave",
  config: {
    frames: 6144,
    zones: [zone(0, NORMAL, 0, 5120, 8), zone(1, NORMAL, 1024, 6144, 8)],
    owners: [
      { start: 0, end: 1024, node: 0 },
      { start: 1024, end: 1536, node: 1 },
      { start: 1536, end: 3072, node: 0 },
      { start: 3072, end: 4096, node: 1 },
      { start: 4096, end: 5120, node: 0 },
      { start: 5120, end: 6144, node: 1 },
    ],
    present: [{ start: 0, end: 6144 }],
    cpus: 3,
    pcp: [
      { high: 56, batch: 14 },
      { high: 30, batch: 7 },
    ],
  },
  given: [{ start: 0, end: 6144 }],
};

/** Holes: of a whole section, of odd frames, and a last block that is not whole. */
const holes: Shape = {
  name: "holes",
  config: {
    frames: 70_000,
    zones: [zone(0, DMA32, 0, 32_768, 8), zone(0, NORMAL, 65_536, 70_000, 8)],
    present: [
      { start: 0, end: 4096 },
      { start: 65_536, end: 70_000 },
    ],
    cpus: 1,
    pcp: [
      { high: 56, batch: 14 },
      { high: 56, batch: 14 },
    ],
    heapBytes: 1 << 20,
  },
  given: [
    { start: 3, end: 517 },
    { start: 1000, end: 2999 },
    { start: 65_536, end: 67_001 },
    { start: 67_777, end: 69_999 },
  ],
};

export const SHAPES: readonly Shape[] = [oneZone(), threeZones, interleaved, holes];

/** Boots the shape and gives the allocator what is its. */
export function bootShape(shape: Shape, design: string): Machine {
  const m = Machine.boot(shape.config, parseDesign(design));
  for (const { start, end } of shape.given) m.giveRange(start, end);
  return m;
}
