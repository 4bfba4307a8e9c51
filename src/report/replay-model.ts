/**
 * A replay as data: what the trace is, where each of its events went, what every
 * design cost while it ran. Published as JSON (docs/replay-schema.md).
 *
 * Figures of a design are read off its machine; what is derived from them here is
 * sums, shares and differences to today.
 */
import { kindId, KINDS, type Kind } from "../observe/kinds.js";
import type { Analysis } from "../trace/analyse.js";
import type { Accuracy } from "../trace/classify/held.js";
import { TRACE_RULES } from "../trace/classify/kinds.js";
import { EV_ALLOC, EV_FREE, EVENT_NAMES } from "../trace/events.js";
import type { DesignReplay } from "../trace/replay/run.js";
import { NO_CHANGE, ordersOf, type ReplayWhatIf } from "../trace/replay/what-if.js";

export const REPLAY_SCHEMA = "memdesc/replay/1";
const ORDERS = 11;

export interface ReplayReport {
  readonly schema: typeof REPLAY_SCHEMA;
  readonly trace: {
    readonly source: string;
    readonly format: string;
    readonly kernel: string | null;
    readonly clock: string | null;
    readonly cpus: number;
    readonly seconds: number;
    /** Events lost, all processors; −1 where only that some were lost is known. */
    readonly lost: number;
    readonly lostPerCpu: readonly number[];
    /** Events by name. */
    readonly counts: Readonly<Record<string, number>>;
    /** Rows that were other events, by name. */
    readonly others: Readonly<Record<string, number>>;
    readonly notes: readonly { readonly subject: string; readonly text: string }[];
    readonly damage: { readonly where: string; readonly why: string } | null;
    /** Whether the machine began as the snapshot before the trace, or empty. */
    readonly begins: "snapshot" | "empty";
  };
  /** What was changed; all as it was where nothing is said. */
  readonly whatIf: ReplayWhatIf;
  /** All events of the trace. */
  readonly events: number;
  /** Allocations and frees among them; batched frees, which repeat them, are not. */
  readonly recorded: number;
  /** Those that became operations of the machine, and those that could not. */
  readonly replayed: number;
  readonly refused: number;
  readonly refusals: readonly { readonly why: string; readonly events: number }[];
  /** What the trace did not show, in pages. */
  readonly unseen: readonly { readonly what: string; readonly pages: number }[];
  readonly splits: number;
  /** Allocations by kind, with blocks by order 0 … 10. */
  readonly kinds: readonly { readonly kind: Kind; readonly orders: readonly number[] }[];
  /** Allocations by the rule that decided their kind. */
  readonly rules: readonly {
    readonly rule: string;
    readonly goesBy: string;
    readonly allocations: number;
  }[];
  readonly against: {
    readonly accuracy: Accuracy;
    /** Pages of each kind: as the trace has them, and as they were. */
    readonly totals: readonly {
      readonly kind: Kind;
      readonly derived: number;
      readonly real: number;
      /** Pages of the snapshot of which the trace has no holder. */
      readonly silent: number;
    }[];
    /** Free pages: as the trace has them, on the snapshot's free lists, on its per-CPU lists (zoneinfo). */
    readonly free: { readonly derived: number; readonly listed: number; readonly perCpu: number };
    /** The moment that fits the snapshot best, and when its reading began, where that is known; seconds from the first event. */
    readonly secondsIn: number;
    readonly readFrom: number | null;
  } | null;
  readonly designs: readonly DesignCost[];
  /** What no trace shows, said beside every cost. */
  readonly notShown: string;
}

export interface DesignCost extends DesignReplay {
  /** Mean metadata against today's, in bytes; null where today was not replayed. */
  readonly change: number | null;
  /** Lowest order of a folio from which it takes no more than today; null for today, or none. */
  readonly breakEven: number | null;
  /** Bytes of words and descriptors per page of the folios that this trace allocated. */
  readonly folioBytesPerPage: number;
  readonly descriptorsPerAllocation: number;
  readonly verdict: string;
}

export const NOT_SHOWN =
  "No trace shows lookups, reverse-map walks and LRU scans: what an indirection costs there is not in these figures.";

/**
 * Puts a trace and its replays into one report (docs/replay-schema.md): shares, sums and
 * differences to the design `today` where it is among them. `begins` says what the
 * machines began as.
 */
export function replayReport(
  source: string,
  analysis: Analysis,
  replays: readonly DesignReplay[],
  begins: "snapshot" | "empty",
  whatIf: ReplayWhatIf = NO_CHANGE,
): ReplayReport {
  const { tally, about } = analysis;
  const { events } = tally;
  const lost = analysis.lost.some((n) => n < 0) ? -1 : analysis.lost.reduce((a, b) => a + b, 0);
  const today = replays.find((r) => r.design === "today") ?? null;
  const kinds = KINDS.flatMap((kind, k) => {
    const orders = Array.from(tally.orders.subarray(k * ORDERS, (k + 1) * ORDERS));
    return orders.some((n) => n > 0) ? [{ kind, orders }] : [];
  });
  return {
    schema: REPLAY_SCHEMA,
    trace: {
      source,
      format: about.format,
      kernel: about.kernel,
      clock: about.clock,
      cpus: about.cpus,
      seconds: (analysis.last - analysis.first) / 1e9,
      lost,
      lostPerCpu: analysis.lost,
      counts: Object.fromEntries(
        EVENT_NAMES.flatMap((name, i) => (events[i] > 0 ? [[name, events[i]]] : [])),
      ),
      others: Object.fromEntries(analysis.others),
      notes: analysis.notes,
      damage: analysis.damage,
      begins,
    },
    whatIf,
    events: analysis.rows,
    recorded: events[EV_ALLOC] + events[EV_FREE],
    replayed: tally.allocations + tally.frees,
    refused: tally.impossible + tally.unknownFrees,
    refusals: [
      { why: "a free of what nobody was seen to allocate", events: tally.unknownFrees },
      { why: "no frame or order that a machine has", events: tally.impossible },
    ],
    unseen: [
      { what: "freed, and nobody was seen to allocate them", pages: tally.unknownPages },
      { what: "allocated again, and nobody was seen to free them", pages: tally.unseenPages },
      {
        what: "on per-CPU lists in the snapshot before, as kernel pages",
        pages: tally.perCpuPages,
      },
      { what: "allocated while the snapshot before was read", pages: tally.shownPages },
      { what: "put on an LRU list, and nobody was seen to allocate them", pages: tally.strangers },
    ],
    splits: tally.splits,
    kinds,
    rules: TRACE_RULES.flatMap(({ name, goesBy }, i) =>
      tally.rules[i] > 0 ? [{ rule: name, goesBy, allocations: tally.rules[i] }] : [],
    ),
    against: analysis.against && {
      accuracy: analysis.against.accuracy,
      totals: totalsRows(analysis.against),
      free: analysis.against.free,
      secondsIn: analysis.against.moment / 1e9,
      readFrom: analysis.against.began === null ? null : analysis.against.began / 1e9,
    },
    designs: replays.map((r) => costOf(r, today, kinds, ordersOf(whatIf))),
    notShown: NOT_SHOWN,
  };
}

function totalsRows({
  derived,
  real,
  silent,
}: NonNullable<Analysis["against"]>): NonNullable<ReplayReport["against"]>["totals"] {
  return KINDS.flatMap((kind, k) =>
    derived[k] > 0
      ? [{ kind, derived: derived[k], real: real[k], silent: Math.max(0, silent[k]) }]
      : [],
  );
}

function costOf(
  replay: DesignReplay,
  today: DesignReplay | null,
  kinds: ReplayReport["kinds"],
  least: Uint8Array | null,
): DesignCost {
  const isToday = replay === today;
  const breakEven =
    today === null || isToday
      ? -1
      : replay.perOrder.findIndex((bytes, order) => bytes <= today.perOrder[order]);
  let pages = 0;
  let bytes = 0;
  for (const { kind, orders } of kinds) {
    if (kind !== "file" && kind !== "shmem" && kind !== "anon") continue;
    for (const [order, n] of orders.entries()) {
      const of = Math.max(order, least?.[kindId(kind)] ?? 0);
      pages += n * 2 ** order;
      bytes += n * 2 ** (order - of) * replay.perOrder[of];
    }
  }
  const cost = {
    ...replay,
    change: today === null ? null : replay.mean - today.mean,
    breakEven: breakEven < 0 ? null : breakEven,
    folioBytesPerPage: pages === 0 ? 0 : bytes / pages,
    descriptorsPerAllocation:
      replay.allocations === 0 ? 0 : replay.descriptorsTaken / replay.allocations,
  };
  return { ...cost, verdict: verdictOf(cost, today) };
}

/** Mean lines touched over what was looked at, weighted by how often it happened. */
export function meanLines(replay: DesignReplay, what: "alloc" | "free"): number | null {
  const rows = replay.lines.filter((row) => row.what === what);
  const n = rows.reduce((sum, row) => sum + row.sampled, 0);
  return n === 0 ? null : rows.reduce((sum, row) => sum + row.touched * row.sampled, 0) / n;
}

/** One line that says what the design saves and what it costs. */
function verdictOf(cost: Omit<DesignCost, "verdict">, today: DesignReplay | null): string {
  const enomem = cost.refused.reduce((sum, r) => sum + r.operations, 0);
  const failed = enomem > 0 ? `; ${enomem.toLocaleString("en-US")} operations refused` : "";
  if (today === null) return `today was not replayed: nothing to put it against${failed}`;
  if (cost.design === today.design) return `the measure${failed}`;
  const share = (cost.mean - today.mean) / today.mean;
  const saves = `${share <= 0 ? "−" : "+"}${Math.abs(share * 100).toFixed(1)} % metadata`;
  const lines = (what: "alloc" | "free"): string | null => {
    const [own, base] = [meanLines(cost, what), meanLines(today, what)];
    if (own === null || base === null) return null;
    const more = own - base;
    return `${more >= 0 ? "+" : "−"}${Math.abs(more).toFixed(1)} cache lines per ${what}`;
  };
  const per = `${cost.descriptorsPerAllocation.toFixed(2)} descriptors per allocation`;
  const parts = [saves, per, lines("alloc"), lines("free")].filter((part) => part !== null);
  return `${parts.join(", ")}${failed}`;
}
