/**
 * One design's rows of the report: builds the machine, reads the cost off its
 * words and caches, and, if asked, does the round trip.
 *
 * Every byte here was reserved by the engine: the page array at boot, objects
 * and slab pages by the descriptor caches. What is estimated or assumed (fill
 * ratios from slabinfo, the band over sizes nobody has published) stands beside
 * it and says so.
 */
import { objectSize } from "../engine/design/free-pointer.js";
import { T_FILE } from "../engine/design/word/axis-types.js";
import type { Machine } from "../engine/machine.js";
import { PAGEBLOCK_PAGES } from "../engine/pages/zones.js";
import type { CacheUsage } from "../engine/pages/caches.js";
import { compare, metadataFrames } from "../observe/roundtrip/compare.js";
import { populate } from "../observe/roundtrip/populate.js";
import type { Classification } from "../observe/objects.js";
import type { SlabInfo, Snapshot } from "../observe/snapshot.js";
import { formatCount } from "../units.js";
import type { Arithmetic, DescriptorRow, DesignRow } from "./model.js";

/** What one design contributes; `change` waits for today's total. */
export interface DesignResult {
  readonly row: Omit<DesignRow, "change">;
  readonly perOrder: readonly {
    readonly order: number;
    readonly design: number;
    readonly base: number;
  }[];
  readonly arithmetic: readonly Arithmetic[];
}

/** Orders of the break-even table: those of the buddy allocator. */
const ORDERS = 11;
/** Sizes that a struct nobody has published may turn out to have. */
const BAND = [64, 80, 96, 128] as const;

/**
 * Builds a machine of this design. `ram` are the bytes that shares are taken of.
 * Throws DesignError, MmError (ENOMEM) where the descriptors do not fit.
 */
export function buildDesign(
  snapshot: Snapshot,
  classification: Classification,
  name: string,
  ram: number,
  verify: boolean,
): DesignResult {
  const populated = populate(snapshot, classification, name);
  const { machine } = populated;
  const usage = machine.caches.usage().filter((u) => u.slabs > 0);
  const descriptors = descriptorRows(machine, usage);
  const total = descriptors.reduce(
    (sum, d) => sum + d.bytes + d.waste,
    machine.pageArrayBytes as number,
  );
  const from = metadataFrames(populated);
  const check = verify ? compare(populated, snapshot, classification) : null;
  const row = {
    design: machine.choice.name,
    summary:
      descriptors.length === 0 ? machine.design.summary : `${machine.design.summary} + descriptors`,
    pageArray: machine.pageArrayBytes,
    descriptors,
    total,
    shareOfRam: total / ram,
    estimated: estimate(descriptors, machine.pageArrayBytes, ram, snapshot.slabinfo),
    band: band(machine, usage, total),
    metadataFrames: { total: from.reduce((sum, f) => sum + f.frames, 0), from },
    lost: check?.lost ?? [],
    verify: check && {
      compared: check.compared,
      leftOut: check.leftOut,
      differences: check.differences,
      first: check.first,
    },
  };
  return { row, perOrder: perOrder(machine), arithmetic: arithmetic(machine, usage, row) };
}

function descriptorRows(machine: Machine, usage: readonly CacheUsage[]): DescriptorRow[] {
  const rows: DescriptorRow[] = usage.map((u) => ({
    type: u.name,
    objects: u.objects,
    size: u.objectSize,
    bytes: u.objects * u.objectSize,
    waste: u.slabs * machine.pageSize - u.objects * u.objectSize,
    assumed: u.fidelity === "assumed",
    source: u.source,
  }));
  if (machine.zoneTableBytes > 0) {
    rows.push({
      type: "zone table",
      objects: machine.zoneTableBytes,
      size: 1,
      bytes: machine.zoneTableBytes,
      waste: 0,
      assumed: false,
      source:
        "one byte per pageblock: rebuilds node and zone of pages whose word has no room for them",
    });
  }
  return rows;
}

/** Caches of 32 … 256 byte objects, where descriptors would live. */
const isLike = (s: SlabInfo): boolean => s.objectSize >= 32 && s.objectSize <= 256 && s.objects > 0;

function estimate(
  descriptors: readonly DescriptorRow[],
  pageArray: number,
  ram: number,
  slabinfo: readonly SlabInfo[] | null,
): DesignRow["estimated"] {
  const like = slabinfo?.filter(isLike) ?? [];
  const objects = like.reduce((sum, s) => sum + s.objects, 0);
  if (objects === 0) return null;
  const fill = like.reduce((sum, s) => sum + s.activeObjects, 0) / objects;
  const packed = descriptors.filter((d) => d.waste > 0 || d.size > 1);
  const tables = descriptors
    .filter((d) => !packed.includes(d))
    .reduce((sum, d) => sum + d.bytes, 0);
  const slabs = packed.reduce((sum, d) => sum + d.bytes + d.waste, 0);
  const total = pageArray + tables + Math.ceil(slabs / fill / 4096) * 4096;
  const basis = `${like.length} caches of 32-256 byte objects in slabinfo, ${formatCount(objects)} objects`;
  return { total, shareOfRam: total / ram, fill, basis };
}

/** The total if every struct without a published size had 64, 80, 96 or 128 bytes. */
function band(machine: Machine, usage: readonly CacheUsage[], total: number): DesignRow["band"] {
  const assumed = usage.filter((u) => u.fidelity === "assumed");
  if (assumed.length === 0) return null;
  return BAND.map((size) => {
    let sum = total;
    for (const u of assumed) {
      // A large folio has what a small one has and 48 bytes more.
      const one = objectSize(
        size + (u.name.startsWith("large") ? 48 : 0),
        machine.choice.freePointer,
      );
      const slabs = Math.ceil(u.objects / Math.floor(machine.pageSize / one));
      sum += (slabs - u.slabs) * machine.pageSize;
    }
    return { size, total: sum };
  });
}

/** What one file folio of each order costs: its words and its descriptor, or the one of order 0. */
function perOrder(machine: Machine): DesignResult["perOrder"] {
  return Array.from({ length: ORDERS }, (_, order) => {
    const cache = machine.design.cacheFor(T_FILE, order);
    const descriptor = cache < 0 ? 0 : machine.caches.stride[cache] * 16;
    const small = machine.design.cacheFor(T_FILE, 0);
    const words = machine.design.pageBytes * 2 ** order;
    return {
      order,
      design: words + descriptor,
      base: words + (small < 0 ? 0 : machine.caches.stride[small] * 16),
    };
  });
}

function arithmetic(
  machine: Machine,
  usage: readonly CacheUsage[],
  row: DesignResult["row"],
): Arithmetic[] {
  const { design } = row;
  const frames = machine.config.present.reduce((sum, p) => sum + p.end - p.start, 0);
  const lines: Arithmetic[] = [
    {
      figure: `${design} page array`,
      value: row.pageArray,
      unit: "bytes",
      sum: `${formatCount(frames)} frames of present sections × ${machine.design.pageBytes} B`,
      source: "reserved at boot; a section of 128 MiB with any frame has all its entries",
    },
  ];
  for (const u of usage) {
    const per = Math.floor(machine.pageSize / u.objectSize);
    lines.push({
      figure: `${design} ${u.name}`,
      value: u.slabs * machine.pageSize,
      unit: "bytes",
      sum: `${formatCount(u.objects)} × ${u.objectSize} B = ${formatCount(u.objects * u.objectSize)} B in ${formatCount(u.slabs)} slabs of ${per} (${formatCount(machine.pageSize)} B)`,
      source: u.source,
    });
  }
  if (machine.zoneTableBytes > 0) {
    lines.push({
      figure: `${design} zone table`,
      value: machine.zoneTableBytes,
      unit: "bytes",
      sum: `${formatCount(frames)} frames / ${PAGEBLOCK_PAGES} × 1 B`,
      source: "one byte per pageblock",
    });
  }
  const parts = [row.pageArray, ...row.descriptors.map((d) => d.bytes + d.waste)];
  lines.push({
    figure: `${design} total`,
    value: row.total,
    unit: "bytes",
    sum: parts.map(formatCount).join(" + "),
    source: "freshly packed: a lower bound",
  });
  lines.push({
    figure: `${design} share of RAM`,
    value: row.shareOfRam,
    unit: "share",
    sum: `${formatCount(row.total)} / ${formatCount(Math.round(row.total / row.shareOfRam))}`,
    source: "RAM is frames × page size",
  });
  if (row.estimated) {
    lines.push({
      figure: `${design} estimated total`,
      value: row.estimated.total,
      unit: "bytes",
      sum: `page array + slab pages / ${row.estimated.fill.toFixed(3)}`,
      source: row.estimated.basis,
    });
  }
  return lines;
}
