/**
 * What the kernel counted of a processor's ring buffer: `per_cpu/cpuN/stats`.
 *
 * Facts: tracing_stats_read() in kernel/trace/trace.c of 6.1 and 6.18: `entries` are
 * those in the buffer, `read events` those read from it; lost are those that were
 * overwritten (overrun), could not be committed, or found no room (dropped).
 */
export interface RingStats {
  /** Events in the buffer. */
  readonly entries: number;
  /** Events that had been read from it. */
  readonly readEvents: number;
  readonly lost: number;
  readonly bytes: number;
}

/** Numbers that are not there count as 0; null where there is none at all. */
export function parseRingStats(text: string): RingStats | null {
  const found = new Map<string, number>();
  for (const m of text.matchAll(/^([a-z ]+):\s*(\d{1,15})\s*$/gm)) found.set(m[1], Number(m[2]));
  if (!found.has("entries")) return null;
  const of = (name: string): number => found.get(name) ?? 0;
  return {
    entries: of("entries"),
    readEvents: of("read events"),
    lost: of("overrun") + of("commit overrun") + of("dropped events"),
    bytes: of("bytes"),
  };
}
