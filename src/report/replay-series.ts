/**
 * The series of a replay as rows, one number each: what the CSV and the Parquet file
 * hold, so that both hold the same (docs/replay-schema.md).
 *
 * Long rather than wide: designs have different caches, and a reader that filters by
 * `what` needs to know none of them beforehand. An order has its word before it: readers
 * that guess a column's type by its first rows must not take names for numbers.
 */
import type { ReplayReport } from "./replay-model.js";

export const SERIES_COLUMNS = ["design", "seconds", "what", "name", "value"] as const;

export type SeriesWhat = "metadata_bytes" | "objects" | "slab_pages" | "free_blocks";

export interface SeriesRow {
  readonly design: string;
  /** Nanoseconds since the first event. */
  readonly time: number;
  readonly what: SeriesWhat;
  /** The cache, or `order 9`; null where the number is the machine's. */
  readonly name: string | null;
  readonly value: number;
}

/** Every number of every sample, in the order of designs, times and columns. */
export function* seriesRows({ designs }: ReplayReport): Generator<SeriesRow> {
  for (const { design, caches, samples } of designs) {
    for (const { time, metadata, objects, slabs, free } of samples) {
      const row = (what: SeriesWhat, name: string | null, value: number): SeriesRow => ({
        design,
        time,
        what,
        name,
        value,
      });
      yield row("metadata_bytes", null, metadata);
      for (const [i, { name }] of caches.entries()) yield row("objects", name, objects[i] ?? 0);
      for (const [i, { name }] of caches.entries()) yield row("slab_pages", name, slabs[i] ?? 0);
      for (const [order, blocks] of free.entries())
        yield row("free_blocks", `order ${order}`, blocks);
    }
  }
}
