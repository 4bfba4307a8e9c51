/**
 * Text that is cut, mixed up, overwritten or no text at all: rows up to the damage, a
 * place, never an error that is not an InputError, never a time that goes back, and
 * the same rows however the bytes arrive.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../../src/observe/input-error.js";
import type { EventSource } from "../../src/trace/source.js";
import { EV_FREE, EV_LOST } from "../../src/trace/events.js";
import { fixture, openText, type Row, rowsOf, utf8 } from "./text-rows.js";

const LINES = new TextDecoder()
  .decode(fixture("trace_pipe-lost.txt.zst"))
  .split("\n")
  .slice(0, 300)
  .concat(new TextDecoder().decode(fixture("perf.txt.zst")).split("\n").slice(30, 130));
const TEXT = utf8(`${LINES.join("\n")}\n`);

interface Outcome {
  readonly source: EventSource;
  readonly rows: Row[];
}

/** What a source gives; null if it was refused as it should be. */
async function outcome(bytes: Uint8Array, step: number, capacity: number): Promise<Outcome | null> {
  let source: EventSource;
  try {
    source = await openText(bytes, { step });
  } catch (error) {
    if (error instanceof InputError) return null;
    throw error;
  }
  const rows = await rowsOf(source, capacity);
  const wrong = rows.findIndex(
    ([time, kind, cpu, pid, x], i) =>
      (i > 0 && time < rows[i - 1][0]) ||
      kind === 0 ||
      !Number.isInteger(cpu) ||
      !Number.isInteger(pid) ||
      Number.isNaN(x),
  );
  expect(wrong).toBe(-1);
  expect(source.damage?.where ?? "trace.txt, line 0").toMatch(/^trace\.txt, line \d+$/);
  // At the end it stays at the end.
  expect(await rowsOf(source)).toEqual([]);
  return { source, rows };
}

/** Rows without losses: these have the time of the event behind them, which may be what is damaged. */
function events(result: Outcome | null): Row[] {
  return (result?.rows ?? []).filter((row) => row[1] !== EV_LOST);
}

const step = fc.integer({ min: 1, max: 5000 });
const capacity = fc.integer({ min: 1, max: 200 });

describe("text of any kind", () => {
  it("gives the same rows however it arrives", async () => {
    const whole = await outcome(TEXT, TEXT.length, 1000);
    await fc.assert(
      fc.asyncProperty(step, capacity, async (by, room) => {
        const other = await outcome(TEXT, by, room);
        expect(other?.rows).toEqual(whole?.rows);
        expect(other?.source.notes).toEqual(whole?.source.notes);
        expect(other?.source.lost).toEqual(whole?.source.lost);
      }),
      { numRuns: 40 },
    );
  });

  it("is random bytes", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 4000 }), step, async (bytes, by) => {
        await outcome(bytes, by, 50);
      }),
      { numRuns: 200 },
    );
  });

  it("is cut anywhere: all rows of whole lines, and perhaps the last", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: TEXT.length }), async (at) => {
        const cut = TEXT.subarray(0, at);
        const result = await outcome(cut, 1000, 100);
        const end = cut.lastIndexOf(10) + 1;
        const whole = await outcome(TEXT.subarray(0, end), 1000, 100);
        const rows = events(whole);
        expect(events(result).slice(0, rows.length)).toEqual(rows);
        expect(events(result).length - rows.length).toBeLessThanOrEqual(1);
      }),
      { numRuns: 150 },
    );
  });

  it("is overwritten somewhere: the rows before stay", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: TEXT.length - 1 }),
        fc.uint8Array({ minLength: 1, maxLength: 300 }),
        async (at, garbage) => {
          const bytes = TEXT.slice();
          bytes.set(garbage.subarray(0, bytes.length - at), at);
          const result = await outcome(bytes, 3000, 100);
          const end = TEXT.subarray(0, at).lastIndexOf(10) + 1;
          const before = events(await outcome(TEXT.subarray(0, end), 3000, 100));
          expect(events(result).slice(0, before.length)).toEqual(before);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("has its lines in another order: every event is there, times never go back", async () => {
    const whole = await outcome(TEXT, TEXT.length, 1000);
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray(LINES, { minLength: LINES.length, maxLength: LINES.length }),
        async (lines) => {
          const result = await outcome(utf8(`${lines.join("\n")}\n`), 4000, 100);
          expect(result?.rows.length).toBe(whole?.rows.length);
          expect(result?.source.notes.map((n) => n.subject)).toContain("time");
        },
      ),
      { numRuns: 30 },
    );
  });

  it("has commands of any bytes", async () => {
    const byte = fc.integer({ min: 32, max: 126 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(byte, { minLength: 1, maxLength: 15 }),
        fc.constantFrom("-", " "),
        async (bytes, between) => {
          const command = String.fromCharCode(...bytes);
          const text = `${command.padStart(16)}${between}4711    [003] ${
            between === "-" ? "d..1. " : " "
          }12.000001: mm_page_free: page=1 pfn=0x77 order=1\n`;
          const result = await outcome(utf8(text), 1000, 10);
          expect(result?.rows).toEqual([[12_000_001_000, EV_FREE, 3, 4711, 0x77, 1, 0, 0]]);
          const name = command.trim();
          const kept = name === "" || name === "<...>" ? undefined : name;
          expect(result?.source.commands.get(4711)).toBe(kept);
        },
      ),
      { numRuns: 300 },
    );
  });
});
