/**
 * Changes to a replay: larger folios, other limits of the per-CPU lists, less free memory.
 *
 * Values are read at the border: a name that does not exist or a number out of range
 * is refused by name. The type table is an axis of the design (`memdesc8+types=2024`).
 */
import type { Machine } from "../../engine/machine.js";
import { MAX_ORDER, MIGRATE_MOVABLE } from "../../engine/pages/zones.js";
import { InputError } from "../../observe/input-error.js";
import { kindId, KINDS } from "../../observe/kinds.js";
import type { ObjectRuns } from "../../observe/objects.js";
import type { Snapshot } from "../../observe/snapshot.js";
import { ANON, FILE, SHMEM } from "../classify/kinds.js";

export interface ReplayWhatIf {
  /** Least order of page-cache and of anonymous folios; 0 leaves them as they were. */
  readonly fileOrder: number;
  readonly anonOrder: number;
  /** Pages that a per-CPU list may hold, and that go to or from it at once; null as they were. */
  readonly pcpHigh: number | null;
  readonly pcpBatch: number | null;
  /** MiB of memory that are free when the trace begins, by the snapshot's own count; null as it was. */
  readonly freeMib: number | null;
}

const FREE = kindId("free");

export const NO_CHANGE: ReplayWhatIf = {
  fileOrder: 0,
  anonOrder: 0,
  pcpHigh: null,
  pcpBatch: null,
  freeMib: null,
};

const RANGES = {
  "file-order": [0, 10],
  "anon-order": [0, 10],
  "pcp-high": [1, 1_000_000],
  "pcp-batch": [1, 100_000],
  "free-mib": [1, 8_388_608],
} as const;

type Name = keyof typeof RANGES;
const isName = (name: string): name is Name => Object.hasOwn(RANGES, name);

/** Reads `name=value` items. Throws InputError. */
export function parseReplayWhatIf(items: readonly string[]): ReplayWhatIf {
  const values = new Map<Name, number>();
  for (const item of items) {
    const [name = "", text = ""] = item.split("=");
    if (!isName(name))
      throw new InputError(
        { file: `--what-if ${item}` },
        "there is no such change to a replay",
        `choose from ${Object.keys(RANGES).join(", ")}`,
      );
    const [least, most] = RANGES[name];
    const value = /^\d{1,7}$/.test(text) ? Number(text) : -1;
    if (value < least || value > most)
      throw new InputError(
        { file: `--what-if ${item}` },
        `"${text}" is not a whole number from ${least} to ${most}`,
      );
    values.set(name, value);
  }
  return {
    fileOrder: values.get("file-order") ?? 0,
    anonOrder: values.get("anon-order") ?? 0,
    pcpHigh: values.get("pcp-high") ?? null,
    pcpBatch: values.get("pcp-batch") ?? null,
    freeMib: values.get("free-mib") ?? null,
  };
}

/** Least order by kind; null where nothing is changed. */
export function ordersOf({ fileOrder, anonOrder }: ReplayWhatIf): Uint8Array | null {
  if (fileOrder === 0 && anonOrder === 0) return null;
  const orders = new Uint8Array(KINDS.length);
  orders[FILE] = fileOrder;
  orders[SHMEM] = fileOrder;
  orders[ANON] = anonOrder;
  return orders;
}

const PAGES_PER_MIB = 256;

/**
 * Frames to be taken away before the trace begins: as many in every design, so that
 * what a design saves is there to be used. 0 where there is less than is asked for.
 */
export function framesToTake(objects: ObjectRuns, { freeMib }: ReplayWhatIf): number {
  if (freeMib === null) return 0;
  let free = 0;
  for (let i = 0; i < objects.length; i++)
    if (objects.kind[i] === FREE) free += objects.count[i] * objects.pages[i];
  return Math.max(0, free - freeMib * PAGES_PER_MIB);
}

/**
 * Takes them: the same share of the free blocks of every order, so that what is left
 * is as much in one piece as it was. Gives how many it took.
 */
export function takeFrames(machine: Machine, frames: number): number {
  const share = Math.min(1, frames / machine.freeFrames());
  const orders = Array.from({ length: MAX_ORDER + 1 }, (_, order) => {
    const blocks = machine.config.zones.reduce(
      (n, _z, z) => n + machine.buddy.freeBlocks(z, order),
      0,
    );
    return Math.floor(blocks * share);
  });
  let left = frames;
  for (let order = MAX_ORDER; order >= 0; order--) {
    for (let i = 0; i < orders[order] && left >= 1 << order; i++) {
      if (machine.allocPages(order, MIGRATE_MOVABLE) < 0) break;
      left -= 1 << order;
    }
  }
  while (left > 0 && machine.allocPages(0, MIGRATE_MOVABLE) >= 0) left--;
  return frames - left;
}

/** The machine with other limits of its per-CPU lists. */
export function withLimits(snapshot: Snapshot, { pcpHigh, pcpBatch }: ReplayWhatIf): Snapshot {
  if (pcpHigh === null && pcpBatch === null) return snapshot;
  const zones = snapshot.zones.map((zone) => ({
    ...zone,
    cpus: (zone.cpus.length > 0 ? zone.cpus : [{ count: 0, high: 64, batch: 1 }]).map((cpu) => ({
      ...cpu,
      high: pcpHigh ?? cpu.high,
      batch: pcpBatch ?? cpu.batch,
    })),
  }));
  return { ...snapshot, zones };
}
