/** The trace file: what goes in comes out, in order, from any time on. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EV_LOST, EVENT_KINDS, EventBatch } from "../../src/trace/events.js";
import { BLOCK_ROWS } from "../../src/trace/file/block-head.js";
import { crc32 } from "../../src/trace/file/crc32.js";
import { section, viewOf } from "../../src/trace/file/layout.js";
import {
  ABOUT,
  allRows,
  anyRows,
  batchOf,
  fileOf,
  memoryWriter,
  NOTHING,
  openBytes,
  plainRows,
  type Row,
} from "./file-rows.js";

/** −0 is stored as 0. */
const plain = (rows: readonly Row[]): number[][] => rows.map((r) => r.map((v) => v + 0));

describe("rows", () => {
  it.each([true, false])(
    "any rows come out as they went in (times in order: %s)",
    async (ordered) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(anyRows(ordered), { maxLength: 4 }),
          fc.constantFrom(1, 7, 100, BLOCK_ROWS),
          async (blocks, capacity) => {
            const file = await openBytes(await fileOf(blocks));
            const rows = blocks.flat();
            expect(await allRows(file, capacity)).toEqual(plain(rows));
            expect(file).toMatchObject({ damage: null, indexed: true, rows: rows.length });
          },
        ),
        { numRuns: 60 },
      );
    },
  );

  it("blocks fill up, whatever the batches are", async () => {
    const rows = plainRows(2 * BLOCK_ROWS + 17);
    const { writer, bytes } = await memoryWriter();
    for (let at = 0; at < rows.length; at += 50_000)
      await writer.write(batchOf(rows.slice(at, at + 50_000)));
    await writer.end(NOTHING);
    const file = await openBytes(bytes.all());
    expect(file.rows).toBe(rows.length);
    expect(file.firstTime).toBe(rows[0][0]);
    expect(file.durationNs).toBe(rows[rows.length - 1][0] - rows[0][0]);
    expect((await allRows(file, BLOCK_ROWS)).length).toBe(rows.length);
    expect(bytes.all().length / rows.length).toBeLessThan(1);
  });

  it("a file without rows", async () => {
    const file = await openBytes(await fileOf([]));
    expect(await allRows(file)).toEqual([]);
    expect(file).toMatchObject({ damage: null, rows: 0, durationNs: 0, firstTime: 0 });
  });

  it("what the writer was given may be refilled at once", async () => {
    const { writer, bytes } = await memoryWriter();
    const batch = new EventBatch(BLOCK_ROWS);
    const rows = plainRows(BLOCK_ROWS * 3);
    for (let block = 0; block < 3; block++) {
      batch.length = 0;
      for (const r of rows.slice(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS))
        batch.push(r[0], EV_LOST, r[2], r[3], r[4], r[5], r[6], r[7]);
      await writer.write(batch);
      batch.x.fill(77);
    }
    await writer.end(NOTHING);
    const got = await allRows(await openBytes(bytes.all()), BLOCK_ROWS);
    expect(got.every((r, i) => r[4] === rows[i][4])).toBe(true);
  });

  it("a kind of a newer version is left out and counted", async () => {
    const row = (kind: number): Row => [5, kind, 0, 1, 2, 3, 4, 5];
    const file = await openBytes(await fileOf([[row(2), row(EVENT_KINDS), row(3), row(200)]]));
    expect((await allRows(file)).map((r) => r[1])).toEqual([2, 3]);
    expect([...file.others]).toEqual([
      [`event kind ${EVENT_KINDS}`, 1],
      ["event kind 200", 1],
    ]);
    expect(file.damage).toBeNull();
  });
});

describe("seek", () => {
  it("reads on from the first row that is not before a time, as a filter would", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.nat(300), { minLength: 1, maxLength: 40 }), { maxLength: 6 }),
        fc.array(fc.integer({ min: -5, max: 320 }), { minLength: 1, maxLength: 4 }),
        fc.constantFrom(3, BLOCK_ROWS),
        async (blocks, times, capacity) => {
          const sorted = blocks.flat().sort((a, b) => a - b);
          let at = 0;
          const rows = blocks.map((b) =>
            b.map((): Row => [sorted[at++], 2 + (at % 2), 0, 1, at, 0, 0, 0]),
          );
          const file = await openBytes(await fileOf(rows));
          for (const time of times) {
            file.seek(time);
            expect(await allRows(file, capacity)).toEqual(rows.flat().filter((r) => r[0] >= time));
          }
        },
      ),
      { numRuns: 80 },
    );
  });

  it("also in the middle of reading", async () => {
    const file = await openBytes(await fileOf([plainRows(100, 0), plainRows(100, 1e6)]));
    const batch = new EventBatch(10);
    await file.read(batch);
    file.seek(1e6);
    await file.read(batch);
    expect(batch.time[0]).toBe(1e6);
    file.seek(0);
    expect((await allRows(file)).length).toBe(200);
  });
});

describe("what is beside the rows", () => {
  it("is there again", async () => {
    const { writer, bytes } = await memoryWriter();
    await writer.snapshot("before", Uint8Array.of(1, 2, 3), 1234);
    await writer.write(batchOf(plainRows(10)));
    await writer.text("vmstat.before", "pgfault 5\n");
    await writer.snapshot("after", Uint8Array.of(4));
    await writer.end({
      commands: new Map([
        [0, "<idle>"],
        [412, "cc1"],
      ]),
      lost: [0, 17, -1],
      others: new Map([["sched_switch", 3]]),
      notes: [{ subject: "kernel", text: "has no rss_stat" }],
    });
    const file = await openBytes(bytes.all());
    expect(file.about).toEqual({ ...ABOUT, label: "t.mdt", format: "mdt" });
    expect(file.header.from).toBe("ring");
    expect(file.snapshots).toEqual({ before: Uint8Array.of(1, 2, 3), after: Uint8Array.of(4) });
    expect([file.beforeAt, file.afterAt]).toEqual([1234, null]);
    expect([...file.texts]).toEqual([["vmstat.before", "pgfault 5\n"]]);
    expect([...file.commands]).toEqual([
      [0, "<idle>"],
      [412, "cc1"],
    ]);
    expect(file.lost).toEqual([0, 17, -1]);
    expect([...file.others]).toEqual([["sched_switch", 3]]);
    expect(file.notes).toEqual([{ subject: "kernel", text: "has no rss_stat" }]);
    expect(bytes.all().length).toBe(writer.bytes);
  });

  it("facts of the machine, the workload and the wall clock", async () => {
    const origin = { machine: { arch: "x86_64" }, command: ["make", "-j2"], startedMs: 5 };
    const { writer, bytes } = await memoryWriter(origin);
    await writer.end(NOTHING);
    expect((await openBytes(bytes.all())).header).toMatchObject(origin);
    const file = await openBytes(await fileOf([]));
    expect(file.header).toMatchObject({ machine: {}, command: null, startedMs: null });
  });

  it("a section of a later version is passed over", async () => {
    const whole = await fileOf([plainRows(5)]);
    const headerEnd = 32 + viewOf(whole).getUint32(20, true);
    const more = section(0x7a7a7a7a, Uint8Array.of(9));
    const bytes = new Uint8Array([
      ...whole.slice(0, headerEnd),
      ...more,
      ...whole.slice(headerEnd),
    ]);
    // The index is off by what was put in, so that the sections are walked.
    const file = await openBytes(bytes);
    expect(file.indexed).toBe(false);
    expect(await allRows(file)).toEqual(plainRows(5));
  });
});

it("crc32 is that of zlib", () => {
  const text = new TextEncoder().encode("123456789");
  expect(crc32(text)).toBe(0xcbf43926);
  expect(crc32(text, 4, 9, crc32(text, 0, 4))).toBe(0xcbf43926);
  expect(crc32(new Uint8Array(0))).toBe(0);
});
