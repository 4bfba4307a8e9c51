/**
 * The kernel's own ring buffers (fixtures/traces of the shared data): every event of
 * them, and the same as the kernel printed of them.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decompress } from "fzstd";
import { describe, expect, it, onTestFinished } from "vitest";
import { EVENT_KINDS, EVENT_NAMES, EventBatch } from "../../src/trace/events.js";
import { openRingFolder } from "../../src/trace/ring/folder.node.js";
import type { EventSource } from "../../src/trace/source.js";
import { SHARED } from "../observe/helpers.js";

const traces = (name: string): string => join(SHARED ?? "", "fixtures", "traces", name);

interface Sums {
  readonly counts: Record<string, number>;
  readonly first: number;
  readonly last: number;
  readonly ordered: boolean;
}

async function sumsOf(source: EventSource): Promise<Sums> {
  const batch = new EventBatch(8192);
  const kinds = new Float64Array(EVENT_KINDS);
  let first = -1;
  let last = 0;
  let ordered = true;
  while (await source.read(batch)) {
    for (let i = 0; i < batch.length; i++) {
      kinds[batch.kind[i]]++;
      if (first < 0) first = batch.time[i];
      if (batch.time[i] < last) ordered = false;
      last = batch.time[i];
    }
  }
  const counts: Record<string, number> = {};
  for (const [kind, n] of kinds.entries()) if (n > 0) counts[EVENT_NAMES[kind]] = n;
  return { counts, first, last, ordered };
}

/** x and the first small column of an event, from its text. */
function numbersIn(name: string, text: string): readonly [x: number, a: number] {
  const of = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? Number.NaN);
  if (name === "rss_stat") return [of(/size=(-?\d+)B/), of(/mm_id=(\d+)/) | 0];
  if (name === "page_fault_user")
    return [Math.floor(of(/address=(\w+)/) / 4096), of(/error_code=(\w+)/)];
  const order = name === "mm_page_alloc_extfrag" ? /alloc_order=(\d+)/ : /order=(\d+)/;
  return [of(/pfn=(\w+)/), of(order)];
}

describe.skipIf(SHARED === null)("fixtures/traces", () => {
  it("mixed: every event of 4,422,495, under the formats of 6.18 of three kernels'", async () => {
    const source = await openRingFolder(traces("mixed"));
    const sums = await sumsOf(source);
    const expected = Object.fromEntries(
      [...readFileSync(traces("mixed/counts.txt"), "utf8").matchAll(/^(\w+): (\d+)$/gm)].map(
        (m): [string, number] => [m[1], Number(m[2])],
      ),
    );
    expect(sums.counts).toEqual(expected);
    expect(Object.values(sums.counts).reduce((a, b) => a + b)).toBe(4_422_495);
    expect(sums.ordered).toBe(true);
    expect(source.about).toMatchObject({ kernel: "6.18", cpus: 2, format: "ring" });
    expect(source).toMatchObject({ lost: [0, 0], damage: null, others: new Map() });
    expect(source.notes.map((n) => n.text).join()).toMatch(/formats\/6\.18/);
    await source.close();
  });

  it("rich: 899,117 events of 13 kinds", async () => {
    const source = await openRingFolder(traces("rich"));
    const sums = await sumsOf(source);
    expect(Object.values(sums.counts).reduce((a, b) => a + b)).toBe(339_053 + 560_064);
    expect(Object.keys(sums.counts)).toHaveLength(13);
    expect(sums.counts).toMatchObject({ mm_lru_insertion: 139_466, mm_page_alloc: 153_722 });
    expect(source).toMatchObject({ lost: [0, 0], damage: null });
    await source.close();
  });

  it("rich, cut: all events up to where the packed bytes end, and the place", async () => {
    const path = mkdtempSync(join(tmpdir(), "memdesc-ring-"));
    onTestFinished(() => rmSync(path, { recursive: true, force: true }));
    for (const name of readdirSync(traces("rich/formats"))) {
      mkdirSync(join(path, "formats"), { recursive: true });
      writeFileSync(join(path, "formats", name), readFileSync(traces(`rich/formats/${name}`)));
    }
    const packed = readFileSync(traces("rich/cpu0.raw.zst"));
    writeFileSync(join(path, "cpu0.raw.zst"), packed.subarray(0, packed.length >> 1));
    const source = await openRingFolder(path);
    const sums = await sumsOf(source);
    const events = Object.values(sums.counts).reduce((a, b) => a + b);
    expect(events).toBeGreaterThan(100_000);
    expect(events).toBeLessThan(339_053);
    expect(source.damage?.where).toMatch(/^cpu0\.raw\.zst, byte \d{6,}$/);
    await source.close();
  });

  it("says of each event what the kernel's own text says", async () => {
    const packed = readFileSync(traces("text/trace_pipe.txt.zst"));
    const lines = new TextDecoder().decode(decompress(packed)).split("\n");
    const source = await openRingFolder(traces("mixed"));
    const batch = new EventBatch(4096);
    let at = 0;
    let compared = 0;
    for (const line of lines) {
      const m = /^\s*\S+-(\d+)\s+\[(\d+)\] \S+\s+(\d+)\.(\d{6}): (\w+): (.*)$/.exec(line);
      if (m === null) continue;
      if (at === batch.length) {
        await source.read(batch);
        at = 0;
      }
      // The kernel's text rounds to microseconds.
      const micros = Math.floor((batch.time[at] + 500) / 1000);
      const read = [micros, batch.pid[at], batch.cpu[at], EVENT_NAMES[batch.kind[at]]];
      const said = [Number(m[3]) * 1e6 + Number(m[4]), Number(m[1]), Number(m[2]), m[5]];
      expect([...read, batch.x[at], batch.a[at]]).toEqual([...said, ...numbersIn(m[5], m[6])]);
      at++;
      compared++;
    }
    expect(compared).toBe(150_000);
    await source.close();
  });
});
