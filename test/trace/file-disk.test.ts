/** Trace files on disk: whole or not there; what is left where the writer could not go on. */
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { InputError } from "../../src/observe/input-error.js";
import { EventBatch } from "../../src/trace/events.js";
import { BLOCK_ROWS } from "../../src/trace/file/block-head.js";
import { writeTrace } from "../../src/trace/file/import.node.js";
import { openTraceFile } from "../../src/trace/file/reader.node.js";
import { openTraceWriter } from "../../src/trace/file/writer.node.js";
import { openRingFolder } from "../../src/trace/ring/folder.node.js";
import { SHARED } from "../observe/helpers.js";
import { ABOUT, allRows, batchOf, NOTHING, plainRows, type Row, rowsOf } from "./file-rows.js";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "memdesc-mdt-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function emptyFolder(name: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(InputError);
  return error instanceof InputError ? error.message : "";
}

/** Rows that do not pack. */
function noise(n: number): Row[] {
  let s = 1;
  const next = (): number => (s = (Math.imul(s, 1103515245) + 12345) >>> 0);
  return Array.from({ length: n }, (_, i) => [
    i * 1000,
    2,
    0,
    next() | 0,
    next(),
    next() | 0,
    next() | 0,
    next() | 0,
  ]);
}

describe("writing", () => {
  it("the target is there at the end and not before; a file of that name stays until then", async () => {
    const dir = emptyFolder("end");
    const path = join(dir, "t.mdt");
    writeFileSync(path, "before");
    const sink = await openTraceWriter(path, ABOUT);
    await sink.write(batchOf(plainRows(10)));
    expect(readFileSync(path, "utf8")).toBe("before");
    expect(readdirSync(dir)).toEqual(["t.mdt", "t.mdt.part"]);
    await sink.end(NOTHING);
    expect(readdirSync(dir)).toEqual(["t.mdt"]);
    expect(sink.bytes).toBe(readFileSync(path).length);
    const file = await openTraceFile(path);
    expect(await allRows(file)).toEqual(plainRows(10));
    await file.close();
  });

  it("nothing is left after abort, once or twice", async () => {
    const dir = emptyFolder("abort");
    const sink = await openTraceWriter(join(dir, "t.mdt"), ABOUT);
    await sink.write(batchOf(plainRows(BLOCK_ROWS + 1)));
    await sink.abort();
    await sink.abort();
    expect(readdirSync(dir)).toEqual([]);
  });

  it("what a killed writer left stays", async () => {
    const dir = emptyFolder("left");
    const path = join(dir, "t.mdt");
    writeFileSync(`${path}.part`, "left");
    const sink = await openTraceWriter(path, ABOUT);
    const other = await openTraceWriter(path, ABOUT);
    expect(readdirSync(dir)).toEqual(["t.mdt.2.part", "t.mdt.3.part", "t.mdt.part"]);
    await other.abort();
    await sink.end(NOTHING);
    expect(readdirSync(dir)).toEqual(["t.mdt", "t.mdt.part"]);
    expect(readFileSync(`${path}.part`, "utf8")).toBe("left");
  });

  it("a place where no file can be is refused at once", async () => {
    expect(await refusal(openTraceWriter(folder, ABOUT))).toContain("no regular file");
    expect(await refusal(openTraceWriter(join(folder, "no", "t.mdt"), ABOUT))).toContain(
      "cannot be written: no such file or folder",
    );
  });

  it("while it is written, what is flushed can be read", async () => {
    const dir = emptyFolder("part");
    const sink = await openTraceWriter(join(dir, "t.mdt"), ABOUT);
    await sink.write(batchOf(plainRows(100)));
    await sink.flush();
    await sink.snapshot("before", Uint8Array.of(1));
    const file = await openTraceFile(join(dir, readdirSync(dir)[0]));
    expect(await allRows(file)).toEqual(plainRows(100));
    expect(file.damage?.why).toContain("its writer was killed");
    await file.close();
    await sink.abort();
  });
});

/** A file system of 1 MiB, where this may mount one. */
function tinyDisk(name: string): string | null {
  const path = emptyFolder(name);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "none", path], { stdio: "ignore" });
  } catch {
    return null;
  }
  onTestFinished(() => void execFileSync("umount", [path]));
  return path;
}

describe("a full disk", () => {
  it("keeps what is whole, says where, and leaves no target", async ({ skip }) => {
    const dir = tinyDisk("full");
    if (dir === null) return skip();
    const path = join(dir, "t.mdt");
    const sink = await openTraceWriter(path, ABOUT);
    const rows = noise(BLOCK_ROWS);
    await sink.snapshot("before", Uint8Array.of(1));
    await sink.write(batchOf(rows.slice(0, 20_000)));
    await sink.flush();
    const write = async (): Promise<void> => {
      for (let i = 0; i < 5; i++) await sink.write(batchOf(rows));
    };
    const why = `${path}: cannot be written: no space left on the device (the first 20000 events are in ${path}.part, which can be read)`;
    expect(await refusal(write())).toBe(why);
    // And again, whatever is asked for; aborting does not remove it.
    expect(await refusal(sink.end(NOTHING))).toBe(why);
    await sink.abort();
    expect(readdirSync(dir)).toEqual(["t.mdt.part"]);
    const file = await openTraceFile(`${path}.part`);
    expect(await allRows(file)).toEqual(rows.slice(0, 20_000));
    expect(file.snapshots.before).toEqual(Uint8Array.of(1));
    await file.close();
  });

  it("keeps nothing where no event was written", async ({ skip }) => {
    const dir = tinyDisk("full-early");
    if (dir === null) return skip();
    const sink = await openTraceWriter(join(dir, "t.mdt"), ABOUT);
    expect(await refusal(sink.snapshot("before", new Uint8Array(2 << 20)))).toContain(
      "t.mdt: cannot be written: no space left on the device",
    );
    await sink.abort();
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe("reading", () => {
  it("what is no trace file, or no file", async () => {
    const path = join(folder, "x");
    writeFileSync(path, "something else");
    expect(await refusal(openTraceFile(path))).toContain("does not begin as a trace file does");
    expect(await refusal(openTraceFile(folder))).toContain("is a folder");
    expect(await refusal(openTraceFile(join(folder, "none")))).toContain("no such file");
  });

  it("a file that is cut while it is read", async () => {
    const path = join(folder, "shrinks.mdt");
    const sink = await openTraceWriter(path, ABOUT);
    for (let i = 0; i < 4; i++) await sink.write(batchOf(plainRows(BLOCK_ROWS, i * 1e9)));
    await sink.end(NOTHING);
    const file = await openTraceFile(path);
    truncateSync(path, sink.bytes >> 1);
    await allRows(file, BLOCK_ROWS);
    expect(file.damage?.where).toMatch(/shrinks\.mdt, byte \d+$/);
    await file.close();
  });

  it("a pipe is refused and does not block", async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    expect(await refusal(openTraceFile(pipe))).toContain("is a pipe");
  });
});

describe("importing", () => {
  it("a folder of ring buffers becomes a trace file of the same rows", async ({ skip }) => {
    if (SHARED === null) return skip();
    const rich = join(SHARED, "fixtures", "traces", "rich");
    const path = join(folder, "rich.mdt");
    const progress: number[] = [];
    const done = await writeTrace(
      await openRingFolder(rich),
      await openTraceWriter(path, ABOUT),
      ({ rows }) => progress.push(rows),
    );
    const file = await openTraceFile(path);
    expect(done.rows).toBe(file.rows);
    expect(progress[progress.length - 1]).toBe(file.rows);
    expect(done.bytes).toBe(readFileSync(path).length);
    expect(readFileSync(path).length / file.rows).toBeLessThan(2);
    const again = await openRingFolder(rich);
    const ours = new EventBatch(BLOCK_ROWS);
    const theirs = new EventBatch(BLOCK_ROWS);
    let same = true;
    while (await file.read(ours)) {
      // Blocks are as full as the source's batches, so that both go at the same pace.
      same &&= (await again.read(theirs)) && isDeepStrictEqual(rowsOf(ours), rowsOf(theirs));
    }
    expect([same, await again.read(theirs)]).toEqual([true, false]);
    await file.close();
  });

  it("damage of what is imported is a note; an error leaves nothing", async () => {
    const dir = emptyFolder("import");
    const path = join(dir, "t.mdt");
    const source = {
      about: ABOUT,
      ...NOTHING,
      damage: { where: "cpu1.raw, byte 4096", why: "cut" },
      read: () => Promise.resolve(false),
      close: () => Promise.resolve(),
    };
    await writeTrace(source, await openTraceWriter(path, ABOUT));
    const file = await openTraceFile(path);
    expect(file.notes).toEqual([{ subject: "imported up to", text: "cpu1.raw, byte 4096: cut" }]);
    await file.close();
    rmSync(path);
    const failing = { ...source, read: () => Promise.reject(new Error("x")) };
    await expect(writeTrace(failing, await openTraceWriter(path, ABOUT))).rejects.toThrow("x");
    expect(readdirSync(dir)).toEqual([]);
  });
});
