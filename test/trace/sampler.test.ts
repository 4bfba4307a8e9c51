/**
 * Samples of young frames: which are chosen, which readings become rows and where, and
 * that a reading of a frame that was freed meanwhile never does.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  EV_ALLOC,
  EV_CACHE_ADD,
  EV_FREE,
  EV_LOST,
  EV_LRU_INSERTION,
  EV_SAMPLE,
  EventBatch,
  type EventKind,
} from "../../src/trace/events.js";
import { FrameTable } from "../../src/trace/record/frame-table.js";
import { MOST, Sampler } from "../../src/trace/record/sampler.js";

type Made = readonly [time: number, kind: EventKind, pfn: number, order?: number];

/** A sampler whose flags are the frame's number and a clock that is set by hand. */
class Bench {
  now = 0;
  readonly calls: [number, number][] = [];
  readonly out: [number, number, number][] = [];
  readonly sampler: Sampler;
  private readonly write = (batch: EventBatch): void => {
    for (let i = 0; i < batch.length; i++)
      this.out.push([batch.time[i], batch.kind[i], batch.x[i]]);
  };
  private readonly take;

  constructor(frames = 2 ** 31) {
    this.sampler = new Sampler(
      (first, count, into) => {
        this.calls.push([first, count]);
        const there = Math.max(0, Math.min(count, frames - first));
        for (let i = 0; i < there; i++) into[2 * i] = first + i;
        return there;
      },
      () => this.now,
    );
    this.take = this.sampler.through(this.write);
  }

  async rows(...rows: readonly Made[]): Promise<void> {
    const batch = new EventBatch(Math.max(1, rows.length));
    for (const [time, kind, pfn, order] of rows)
      batch.push(time, kind, 0, 1, pfn, order ?? 0, 0, 0);
    await this.take(batch);
  }

  read(now: number): void {
    this.now = now;
    this.sampler.read();
  }

  async samples(): Promise<[number, number][]> {
    await this.sampler.finish(this.write);
    return this.out.filter((r) => r[1] === EV_SAMPLE).map(([time, , pfn]) => [time, pfn]);
  }
}

describe("samples", () => {
  it("come between the rows, at the time of their reading", async () => {
    const bench = new Bench();
    await bench.rows([10, EV_ALLOC, 5], [11, EV_ALLOC, 7]);
    bench.read(20);
    await bench.rows([20, EV_ALLOC, 8], [30, EV_FREE, 5]);
    expect(bench.out.map((r) => r[0])).toEqual([10, 11, 20, 20, 20, 30]);
    expect(await bench.samples()).toEqual([
      [20, 5],
      [20, 7],
    ]);
    expect(bench.calls).toEqual([[5, 3]]);
    expect(bench.sampler.counts()).toMatchObject({ allocations: 3, samples: 2, looked: 2 });
  });

  it.each<[string, Made]>([
    ["freed", [15, EV_FREE, 5]],
    ["freed at the very time", [20, EV_FREE, 5]],
    ["freed as a part of a larger block", [15, EV_FREE, 4, 2]],
    ["allocated again", [15, EV_ALLOC, 5]],
    ["allocated over", [15, EV_ALLOC, 0, 3]],
    ["lost sight of", [15, EV_LOST, 1]],
  ])("are not written of a frame that was %s before", async (_what, row) => {
    const bench = new Bench();
    await bench.rows([10, EV_ALLOC, 5]);
    bench.read(20);
    await bench.rows(row, [30, EV_FREE, 99]);
    expect(await bench.samples()).toEqual([]);
  });

  it("leave out what an event has told, and what was freed", async () => {
    const bench = new Bench();
    await bench.rows(
      [1, EV_ALLOC, 1],
      [2, EV_ALLOC, 2],
      [3, EV_ALLOC, 3],
      [4, EV_ALLOC, 4],
      [5, EV_LRU_INSERTION, 1],
      [6, EV_CACHE_ADD, 2],
      [7, EV_FREE, 3],
    );
    bench.read(20);
    expect(await bench.samples()).toEqual([[20, 4]]);
  });

  it("wait for the rows up to the reading before: another one is left out till then", async () => {
    const bench = new Bench();
    await bench.rows([1, EV_ALLOC, 1]);
    bench.read(20);
    await bench.rows([2, EV_ALLOC, 2]);
    bench.read(30);
    await bench.rows([40, EV_ALLOC, 3]);
    bench.read(50);
    expect(await bench.samples()).toEqual([
      [20, 1],
      [50, 2],
      [50, 3],
    ]);
    expect(bench.sampler.counts()).toMatchObject({ readings: 2, skipped: 1 });
  });

  it("are none of frames beyond the end", async () => {
    const bench = new Bench(100);
    await bench.rows(
      [1, EV_ALLOC, 99],
      [2, EV_ALLOC, 101],
      [3, EV_ALLOC, 2 ** 40],
      [4, EV_ALLOC, -1],
    );
    bench.read(20);
    expect(await bench.samples()).toEqual([[20, 99]]);
  });

  it("are spread evenly where there are too many frames", async () => {
    const bench = new Bench();
    const rows = Array.from({ length: 5 * MOST }, (_, i): Made => [i, EV_ALLOC, i]);
    await bench.rows(...rows);
    bench.read(1e6);
    const samples = await bench.samples();
    expect(samples.length).toBeGreaterThan(MOST / 2);
    expect(samples.length).toBeLessThanOrEqual(MOST);
    // By the place in the trace, from 1: every eighth.
    expect(samples.every(([, pfn]) => (pfn + 1) % 8 === 0)).toBe(true);
  });

  it("property: only of blocks that live from their choice to their reading", async () => {
    const step = fc.record({
      what: fc.constantFrom("alloc", "free", "read"),
      pfn: fc.integer({ min: 0, max: 40 }),
      order: fc.integer({ min: 0, max: 3 }),
      pass: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const bench = new Bench();
        const all: Made[] = [];
        let held: Made[] = [];
        let time = 0;
        for (const { what, pfn, order, pass } of steps) {
          time += 10;
          // Rows pass late: a reading does not know of all that was before it.
          if (what === "read") bench.read(time);
          else {
            const row: Made = [time, what === "alloc" ? EV_ALLOC : EV_FREE, pfn, order];
            all.push(row);
            held.push(row);
          }
          if (pass) {
            await bench.rows(...held);
            held = [];
          }
        }
        await bench.rows(...held);
        for (const [at, frame] of await bench.samples()) {
          const touching = all.filter(
            ([t, , pfn, order = 0]) => t <= at && pfn <= frame && frame < pfn + (1 << order),
          );
          const last = touching.at(-1);
          expect(last?.[1]).toBe(EV_ALLOC);
          expect(last?.[2]).toBe(frame);
        }
        expect(bench.out.every((r, i) => i === 0 || r[0] >= bench.out[i - 1][0])).toBe(true);
      }),
    );
  });
});

describe("numbers by frame", () => {
  it("property: as a Map has them", () => {
    const op = fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 60 }));
    fc.assert(
      fc.property(fc.array(op, { maxLength: 300 }), (ops) => {
        const table = new FrameTable(6);
        const map = new Map<number, number>();
        let n = 0;
        for (const [sets, pfn] of ops) {
          if (!sets) {
            table.delete(pfn);
            map.delete(pfn);
          } else if (table.size < table.most || map.has(pfn)) {
            table.set(pfn, ++n);
            map.set(pfn, n);
          }
          expect(table.size).toBe(map.size);
        }
        for (let pfn = 0; pfn <= 60; pfn++) expect(table.get(pfn)).toBe(map.get(pfn) ?? 0);
        expect([...table.frames(() => true)]).toEqual([...map.keys()].toSorted((a, b) => a - b));
      }),
    );
  });
});
