/**
 * The machine that somebody asks for in a line, as a configuration of the engine.
 *
 * It is plain: one Normal zone per node with an equal share of the memory, no
 * holes, the page array at the end of each node's share (where memblock, which
 * allocates from the top, puts it), everything else given to the allocator. So a
 * design with a smaller page array has more free memory.
 *
 * Simplified: no DMA or DMA32 zone. Watermarks are the kernel's for that much
 * memory (init_per_zone_wmark_min: the square root of 16 times the KiB, at least
 * 128 and at most 262,144 KiB; low and high 1/4 and 1/2 above), per-CPU limits
 * those of zone_batchsize and zone_highsize (mm/page_alloc.c), without the
 * adjustments at run time.
 */
import { WORD_BYTES, type Design } from "./design/presets.js";
import { HEAP_BYTES_PER_FRAME, type DeviceRoom, type MachineConfig } from "./machine.js";
import { SECTION_PAGES, ZONE_DEVICE, ZONE_TYPES, type ZoneConfig } from "./pages/zones.js";
import { formatBytes, PAGE_SIZE, parseBytes } from "../units.js";

/** The machine that is wanted. Everything may be left out. */
export interface MachineRequest {
  /** RAM as `"256MiB"` or in bytes, 8 MiB … 4 GiB; the default is 256 MiB. */
  readonly memory?: string | number;
  /** NUMA nodes with an equal share of the memory, 1 … 8; the default is 1. */
  readonly nodes?: number;
  /** CPUs, 1 … 64; the default is 1. */
  readonly cpus?: number;
  /** Room for the memory of devices; none where left out. */
  readonly device?: DeviceRequest;
}

/** How much device memory a machine may ever have. All are sizes, `"1GiB"` or bytes. */
export interface DeviceRequest {
  /** Device-private memory, up to 4 TiB; default 1 GiB. */
  readonly private?: string | number;
  /** Physical ranges behind the RAM (coherent, dax, p2pdma), up to 4 TiB; default 512 MiB. */
  readonly span?: string | number;
  /** Bits of a physical address, 36 … 43; default 43 (simplified: 46 or 52 on x86-64). */
  readonly physicalBits?: number;
  /** PCI windows and whatever else lies in physical memory, beside RAM and span. */
  readonly windows?: readonly PhysicalWindow[];
}

/** A stretch of the physical address space that is taken. Bytes. */
export interface PhysicalWindow {
  readonly name: string;
  readonly start: number;
  readonly size: number;
}

export const NODES_MAX = 8;
export const CPUS_MAX = 64;
const MEMORY_DEFAULT = 256 * 2 ** 20;
/** Less would not hold a page array and watermarks; more would make the check after each step slow. */
const MEMORY_MIN = 8 * 2 ** 20;
const MEMORY_MAX = 4 * 2 ** 30;
/** Zones begin and end on the largest block of the buddy allocator, 4 MiB. */
const BLOCK_PAGES = 1024;
const NORMAL = ZONE_TYPES.indexOf("Normal");
const DEVICE_PRIVATE_DEFAULT = 2 ** 30;
const DEVICE_SPAN_DEFAULT = 512 * 2 ** 20;
const DEVICE_MAX = 2 ** 42;
const SPAN_MAX = 2 ** 42;

/** Frames start … end − 1. */
export interface Stretch {
  readonly start: number;
  readonly end: number;
}

/** RAM in bytes; null where it is no size or outside of what may be had. */
export function memoryOf(memory: string | number | undefined): number | null {
  const bytes =
    memory === undefined
      ? MEMORY_DEFAULT
      : typeof memory === "number"
        ? memory
        : (parseBytes(memory) ?? 0);
  return Number.isInteger(bytes) && bytes >= MEMORY_MIN && bytes <= MEMORY_MAX ? bytes : null;
}

export interface Plan {
  readonly config: MachineConfig;
  /** What the allocator gets. */
  readonly given: readonly Stretch[];
  /** Where the page array lies. */
  readonly arrays: readonly Stretch[];
}

/** Lays out the machine that was asked for, in a design. */
export function layOut(asked: MachineRequest, design: Design): Plan {
  const nodes = asked.nodes ?? 1;
  const cpus = asked.cpus ?? 1;
  const bytes = memoryOf(asked.memory) ?? MEMORY_DEFAULT;
  const share = Math.floor(bytes / PAGE_SIZE / nodes / BLOCK_PAGES) * BLOCK_PAGES;
  const frames = Math.ceil((share * nodes) / SECTION_PAGES) * SECTION_PAGES;
  const array = Math.ceil((frames * WORD_BYTES[design.word].page) / PAGE_SIZE / nodes);
  const min = watermark(share * nodes) / nodes;
  const starts = Array.from({ length: nodes }, (_, node) => node * share);
  const device = asked.device === undefined ? undefined : deviceRoom(asked.device, frames);
  const behind = device === undefined ? 0 : deviceFrames(device, design);
  const perZone = starts.map(() => perCpu(share, Math.floor(min * 1.25), cpus));
  return {
    config: {
      frames: frames + behind,
      zones: [
        ...starts.map((start, node) => ({
          node,
          type: NORMAL,
          start,
          spanned: share,
          min: Math.floor(min),
          low: Math.floor(min * 1.25),
          high: Math.floor(min * 1.5),
          reserve: 0,
        })),
        ...(device === undefined ? [] : deviceZones(nodes, frames, behind)),
      ],
      present: [{ start: 0, end: frames }],
      cpus,
      pcp:
        device === undefined
          ? perZone
          : [...perZone, ...perZone.map(() => ({ high: 1, batch: 1 }))],
      heapBytes: heapBytes(frames, device),
      ...(device === undefined ? {} : { device }),
    },
    given: starts.map((start) => ({ start, end: start + share - array })),
    arrays: starts.map((start) => ({ start: start + share - array, end: start + share })),
  };
}

/** Whole sections of room, as asked for. Throws RangeError for a size that cannot be. */
function deviceRoom(asked: DeviceRequest, first: number): DeviceRoom {
  const pages = (what: string, size: string | number | undefined, usual: number, most: number) => {
    const bytes = typeof size === "string" ? parseBytes(size) : (size ?? usual);
    if (bytes === undefined || !Number.isInteger(bytes) || bytes < 0 || bytes > most)
      throw new RangeError(`device.${what} is a size up to ${formatBytes(most)}, not ${size}`);
    return Math.ceil(bytes / PAGE_SIZE / SECTION_PAGES) * SECTION_PAGES;
  };
  return {
    first,
    span: pages("span", asked.span, DEVICE_SPAN_DEFAULT, SPAN_MAX),
    private: pages("private", asked.private, DEVICE_PRIVATE_DEFAULT, DEVICE_MAX),
  };
}

/** Room for descriptors: one for every frame and page of a device, though never more than there is RAM. */
const heapBytes = (frames: number, room: DeviceRoom | undefined): number =>
  Math.min(
    (frames + (room === undefined ? 0 : room.span + room.private)) * HEAP_BYTES_PER_FRAME,
    frames * PAGE_SIZE,
  );

/** Frames behind the RAM that the page array reaches over. */
const deviceFrames = (room: DeviceRoom, design: Design): number =>
  room.span + (design.deviceRecord === "page" ? room.private : 0);

/** ZONE_DEVICE of every node: the first spans it all, a page map's node is in its pages. */
const deviceZones = (nodes: number, first: number, frames: number): ZoneConfig[] =>
  Array.from({ length: nodes }, (_, node) => ({
    node,
    type: ZONE_DEVICE,
    start: first,
    spanned: node === 0 ? frames : 0,
    min: 0,
    low: 0,
    high: 0,
    reserve: 0,
  }));

/** Pages of min watermark for a machine of that many pages. */
function watermark(pages: number): number {
  const kib = Math.floor(Math.sqrt(pages * (PAGE_SIZE / 1024) * 16));
  return Math.min(Math.max(kib, 128), 262_144) / (PAGE_SIZE / 1024);
}

/** Limits of a per-CPU list. */
function perCpu(pages: number, low: number, cpus: number): { high: number; batch: number } {
  const quarter = Math.max(1, Math.floor(Math.min(pages >> 10, (256 * 1024) / PAGE_SIZE) / 4));
  const batch = 2 ** Math.floor(Math.log2(quarter + (quarter >> 1))) - 1;
  return { high: Math.max(Math.floor(low / cpus), batch * 4, 1), batch: Math.max(batch, 1) };
}
