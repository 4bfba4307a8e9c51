/**
 * Changes to a replay: larger folios, other limits of the per-CPU lists.
 *
 * Values are read at the border: a name that does not exist or a number out of range
 * is refused by name. The type table is an axis of the design (`memdesc8+types=2024`).
 */
import { InputError } from "../../observe/input-error.js";
import { KINDS } from "../../observe/kinds.js";
import type { Snapshot } from "../../observe/snapshot.js";
import { ANON, FILE, SHMEM } from "../classify/kinds.js";

export interface ReplayWhatIf {
  /** Least order of page-cache and of anonymous folios; 0 leaves them as they were. */
  readonly fileOrder: number;
  readonly anonOrder: number;
  /** Pages that a per-CPU list may hold, and that go to or from it at once; null as they were. */
  readonly pcpHigh: number | null;
  readonly pcpBatch: number | null;
}

export const NO_CHANGE: ReplayWhatIf = {
  fileOrder: 0,
  anonOrder: 0,
  pcpHigh: null,
  pcpBatch: null,
};

const RANGES = {
  "file-order": [0, 10],
  "anon-order": [0, 10],
  "pcp-high": [1, 1_000_000],
  "pcp-batch": [1, 100_000],
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
