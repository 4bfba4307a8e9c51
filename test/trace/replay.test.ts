/**
 * A replayed trace leaves a machine of any design as its rules want it, holding what
 * the traced machine held; and the figures are what the machine says.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isFolioType, MISC_UNKNOWN, T_MISC } from "../../src/engine/design/word/axis-types.js";
import { inspectMachine } from "../../src/engine/sanitizer/sanitizer.js";
import type { HeldBlock } from "../../src/engine/sanitizer/view.js";
import { SampledWords } from "../../src/engine/words/sampled.js";
import { Machine } from "../../src/engine/machine.js";
import { parseDesign } from "../../src/engine/design/presets.js";
import { KINDS, kindId } from "../../src/observe/kinds.js";
import { Decide } from "../../src/trace/classify/decide.js";
import { orderOfBlock } from "../../src/trace/classify/frames.js";
import { OpBatch } from "../../src/trace/classify/ops.js";
import { EV_ALLOC, EV_FREE, EventBatch, type EventKind } from "../../src/trace/events.js";
import { Grouped } from "../../src/trace/replay/grouped.js";
import { Homes } from "../../src/trace/replay/homes.js";
import { Replay } from "../../src/trace/replay/replay.js";
import { DESIGNS, oneZone } from "../engine/machines.js";
import { Workload } from "./workload.js";

function machineOf(design: string): Machine {
  const { config, given } = oneZone(2048);
  const machine = Machine.boot(config, parseDesign(design), (size) => new SampledWords(size));
  for (const { start, end } of given) machine.giveRange(start, end);
  return machine;
}

function replayed(
  machine: Machine,
  batch: EventBatch,
  grouped: Grouped | null = null,
): { replay: Replay; decide: Decide } {
  const decide = new Decide(undefined, 256);
  const replay = new Replay(machine, new Homes(false), grouped);
  const ops = new OpBatch(4096);
  const full = (): void => {
    replay.apply(ops);
    ops.length = 0;
  };
  decide.take(batch, ops, full);
  decide.finish(ops, full);
  full();
  if (batch.length > 0) replay.finish(batch.time[batch.length - 1]);
  return { replay, decide };
}

/** What the machine holds for the traced one's blocks, as the sanitizer wants to be told. */
function claims(machine: Machine, decide: Decide, replay: Replay): HeldBlock[] {
  const held: HeldBlock[] = [];
  decide.frames.forEach((pfn, word) => {
    const at = replay.homes.at(pfn);
    if (at < 0) return;
    const type = machine.design.typeOf(at);
    held.push({
      pfn: at,
      order: orderOfBlock(word),
      type,
      subtype: type === T_MISC ? MISC_UNKNOWN : 0,
      refs: isFolioType(type) ? 1 : 0,
    });
  });
  return held;
}

const steps = fc.array(fc.integer({ min: 0, max: 2 ** 24 }), { minLength: 50, maxLength: 400 });
const given = oneZone(2048).given;

describe.each(DESIGNS)("%s", (design) => {
  test("every rule holds after any workload, and all memory comes back at its end", () => {
    fc.assert(
      fc.property(steps, (numbers) => {
        const load = new Workload(1024);
        for (const n of numbers) load.step(n);
        const machine = machineOf(design);
        const { replay, decide } = replayed(machine, load.batch);
        expect(inspectMachine(machine, { given, held: claims(machine, decide, replay) })).toEqual(
          [],
        );
        expect(replay.refused.every((n) => n === 0)).toBe(true);

        while (load.held.length > 0) load.free(0);
        const empty = machineOf(design);
        const whole = replayed(empty, load.batch);
        expect(inspectMachine(empty, { given, held: [] })).toEqual([]);
        expect(whole.replay.descriptorsTaken).toBe(whole.replay.descriptorsGiven);
        empty.allocator.drainAll();
        expect(empty.freeFrames() + empty.heap.held()).toBe(2048);
      }),
      { numRuns: 6, seed: 7 },
    );
  });
});

describe("events in any order, of any numbers", () => {
  /** A batch of anything: kinds, frames and orders that a damaged trace may say. */
  const anything = fc.array(
    fc.record({
      kind: fc.integer({ min: 0, max: 63 }),
      x: fc.oneof(
        fc.integer({ min: 0, max: 600 }),
        fc.constantFrom(-1, 2 ** 31, 2 ** 53, -(2 ** 40), 0.5),
      ),
      a: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.constantFrom(-1, 11, 2 ** 31 - 1)),
      b: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      c: fc.integer({ min: -1, max: 40 }),
      cpu: fc.integer({ min: 0, max: 65_535 }),
    }),
    { maxLength: 400 },
  );

  test.each(["today", "memdesc8"])("leave a machine of %s whose rules hold", (design) => {
    fc.assert(
      fc.property(anything, (events) => {
        const batch = new EventBatch(events.length + 1);
        for (const [i, e] of events.entries())
          batch.push(i * 1000, e.kind as EventKind, e.cpu, 1, e.x, e.a, e.b, e.c);
        const machine = machineOf(design);
        const { replay, decide } = replayed(machine, batch);
        expect(inspectMachine(machine, { given, held: claims(machine, decide, replay) })).toEqual(
          [],
        );
        const { tally } = decide;
        const recorded = tally.events[EV_ALLOC] + tally.events[EV_FREE];
        expect(tally.allocations + tally.frees + tally.unknownFrees + tally.impossible).toBe(
          recorded,
        );
      }),
      { numRuns: 60, seed: 9 },
    );
  });

  test("a workload shuffled is followed as far as it can be", () => {
    fc.assert(
      fc.property(steps, fc.integer(), (numbers, salt) => {
        const load = new Workload(512);
        for (const n of numbers) load.step(n);
        const { batch } = load;
        const order = Array.from({ length: batch.length }, (_, i) => i).toSorted(
          (a, b) => (Math.imul(a ^ salt, 0x9e3779b1) | 0) - (Math.imul(b ^ salt, 0x9e3779b1) | 0),
        );
        const mixed = new EventBatch(batch.length + 1);
        for (const [at, i] of order.entries())
          mixed.push(
            at * 1000,
            batch.kind[i] as EventKind,
            0,
            1,
            batch.x[i],
            batch.a[i],
            batch.b[i],
            0,
          );
        const machine = machineOf("memdesc16");
        const { replay, decide } = replayed(machine, mixed);
        expect(inspectMachine(machine, { given, held: claims(machine, decide, replay) })).toEqual(
          [],
        );
      }),
      { numRuns: 30, seed: 10 },
    );
  });
});

describe("the figures", () => {
  const load = new Workload(1024);
  for (let n = 1; n < 300; n++) load.step(Math.imul(n, 0x9e3779b1) >>> 8);

  test("metadata is the fixed part and the pages of slabs, at the end as at the peak", () => {
    const machine = machineOf("memdesc8");
    const { series } = replayed(machine, load.batch).replay;
    const slabs = machine.caches.usage().reduce((sum, u) => sum + u.slabs, 0);
    expect(series.end).toBe(machine.pageArrayBytes + machine.zoneTableBytes + slabs * 4096);
    expect(series.peak).toBeGreaterThanOrEqual(series.end);
    expect(series.mean).toBeLessThanOrEqual(series.peak);
    expect(series.samples.at(-1)?.slabs.reduce((a, b) => a + b, 0)).toBe(slabs);
  });

  test("slab pages gained less those lost are those that are there", () => {
    const machine = machineOf("memdesc8");
    const { replay } = replayed(machine, load.batch);
    expect(replay.slabPagesGained - replay.slabPagesLost).toBe(machine.heap.held());
  });

  test("today takes no descriptors; memdesc8 one for every block but those of unknown owner", () => {
    expect(replayed(machineOf("today"), load.batch).replay.descriptorsTaken).toBe(0);
    const { descriptorsTaken, allocations } = replayed(machineOf("memdesc8"), load.batch).replay;
    expect(descriptorsTaken).toBeGreaterThan(allocations / 2);
  });

  test("of one operation in 64 the lines are noted", () => {
    const { replay } = replayed(machineOf("today"), load.batch);
    const sampled = replay.lines.rows().reduce((sum, row) => sum + row.sampled, 0);
    expect(sampled).toBe(Math.floor((replay.allocations + replay.frees) / 64));
  });

  test("the same trace gives the same bytes", () => {
    const once = replayed(machineOf("memdesc16"), load.batch).replay;
    const again = replayed(machineOf("memdesc16"), load.batch).replay;
    expect(again.series.samples).toEqual(once.series.samples);
    expect(again.lines.rows()).toEqual(once.lines.rows());
  });
});

describe("a machine that is too small", () => {
  test("refuses what it cannot hold by reason, and the frees of that too; the rules hold", () => {
    const load = new Workload(4096);
    for (let i = 0; i < 700; i++) load.alloc(2, "anon");
    while (load.held.length > 0) load.free(0);
    const machine = machineOf("memdesc8");
    const { replay } = replayed(machine, load.batch);
    const [enomem, freed] = replay.refused;
    expect(enomem).toBeGreaterThan(0);
    expect(freed).toBe(enomem);
    expect(replay.allocations + enomem).toBe(700);
    expect(inspectMachine(machine, { given, held: [] })).toEqual([]);
  });
});

describe("larger folios as a what-if", () => {
  const orders = new Uint8Array(KINDS.length);
  orders[kindId("anon")] = 3;

  test("eight pages of one kind and processor are one folio, freed with the last of them", () => {
    const load = new Workload(64);
    for (let i = 0; i < 8; i++) load.alloc(0, "anon");
    const machine = machineOf("memdesc8");
    const first = replayed(machine, load.batch, new Grouped(machine, orders)).replay;
    expect(first.descriptorsTaken).toBe(1);
    expect(machine.design.orderOf(first.homes.at(0))).toBe(3);
    for (let i = 0; i < 8; i++) load.free(0);
    const empty = machineOf("memdesc8");
    const whole = replayed(empty, load.batch, new Grouped(empty, orders)).replay;
    expect(whole.descriptorsGiven).toBe(1);
    expect(inspectMachine(empty, { given, held: [] })).toEqual([]);
  });

  test("any workload comes back whole", () => {
    fc.assert(
      fc.property(steps, (numbers) => {
        const load = new Workload(512);
        for (const n of numbers) load.step(n);
        while (load.held.length > 0) load.free(0);
        const machine = machineOf("memdesc16");
        replayed(machine, load.batch, new Grouped(machine, orders));
        expect(inspectMachine(machine, { given, held: [] })).toEqual([]);
      }),
      { numRuns: 20, seed: 8 },
    );
  });
});
