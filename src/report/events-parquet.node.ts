/**
 * All events of a trace as Parquet, for questions that no report answers
 * (docs/replay-schema.md says what the columns hold).
 *
 * Rows are written a group at a time as they are read, so memory is the same for a
 * minute and for a day. Times stay whole nanoseconds.
 */
import { EventBatch, EVENT_NAMES } from "../trace/events.js";
import type { EventSource } from "../trace/source.js";
import { type ParquetColumn, type ParquetValues, writeParquet } from "./parquet-file.node.js";

const COLUMNS: readonly ParquetColumn[] = [
  { name: "time", type: "INT64" },
  { name: "event", type: "STRING" },
  { name: "cpu", type: "INT32" },
  { name: "pid", type: "INT32" },
  { name: "command", type: "STRING", nullable: true },
  { name: "x", type: "INT64", nullable: true },
  { name: "a", type: "INT32" },
  { name: "b", type: "INT32" },
  { name: "c", type: "INT32" },
];

/** Rows of a group, about: readers skip whole groups, and one is held in memory. */
const GROUP = 1 << 17;

/** Rows that are read at once. */
const BATCH = 1 << 14;

/** What EventBatch has in `x` where an event has no such number. */
const NO_X = -1;

/** As a 64-bit integer; a damaged trace may hold what is none. */
const whole = (n: number): bigint =>
  Number.isFinite(n) ? BigInt.asIntN(64, BigInt(Math.trunc(n))) : 0n;

/**
 * Writes what the source gives up to its end, or its damage; the caller closes it.
 * Writes the whole file or none. Throws InputError where it cannot be written.
 */
export async function writeEventsParquet(
  file: string,
  source: EventSource,
): Promise<{ readonly rows: number }> {
  let rows = 0;
  await writeParquet(file, COLUMNS, async (append) => {
    const batch = new EventBatch(BATCH);
    const group = new Group();
    while (await source.read(batch)) {
      rows += batch.length;
      if (group.length + batch.length > GROUP) {
        await append(group.columns());
        group.length = 0;
      }
      group.add(batch, source.commands);
    }
    if (group.length > 0) await append(group.columns());
  });
  return { rows };
}

/** Rows of several batches, in columns of the file's types. */
class Group {
  length = 0;
  readonly #time = new BigInt64Array(GROUP);
  readonly #event: string[] = [];
  readonly #cpu = new Int32Array(GROUP);
  readonly #pid = new Int32Array(GROUP);
  readonly #command: (string | null)[] = [];
  readonly #x: (bigint | null)[] = [];
  readonly #a = new Int32Array(GROUP);
  readonly #b = new Int32Array(GROUP);
  readonly #c = new Int32Array(GROUP);

  add(batch: EventBatch, commands: ReadonlyMap<number, string>): void {
    const at = this.length;
    for (let i = 0; i < batch.length; i++) {
      this.#time[at + i] = whole(batch.time[i]);
      this.#event[at + i] = EVENT_NAMES[batch.kind[i]];
      this.#command[at + i] = commands.get(batch.pid[i]) ?? null;
      this.#x[at + i] = batch.x[i] === NO_X ? null : whole(batch.x[i]);
    }
    this.#cpu.set(batch.cpu.subarray(0, batch.length), at);
    this.#pid.set(batch.pid.subarray(0, batch.length), at);
    this.#a.set(batch.a.subarray(0, batch.length), at);
    this.#b.set(batch.b.subarray(0, batch.length), at);
    this.#c.set(batch.c.subarray(0, batch.length), at);
    this.length += batch.length;
  }

  columns(): ParquetValues[] {
    const n = this.length;
    return [
      this.#time.subarray(0, n),
      this.#event.slice(0, n),
      this.#cpu.subarray(0, n),
      this.#pid.subarray(0, n),
      this.#command.slice(0, n),
      this.#x.slice(0, n),
      this.#a.subarray(0, n),
      this.#b.subarray(0, n),
      this.#c.subarray(0, n),
    ];
  }
}
