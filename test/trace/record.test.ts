/**
 * Recording: what waits for its watermark and what goes out, what is made of the trace
 * file system, and, where this machine lets us (root), real recordings and their ends.
 */
import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { EventBatch } from "../../src/trace/events.js";
import { InputError } from "../../src/observe/input-error.js";
import { removeStaleInstances, TraceInstance } from "../../src/trace/record/instance.node.js";
import { LiveMerge } from "../../src/trace/record/live-merge.js";
import { record } from "../../src/trace/record/record.node.js";
import type { RecordOptions } from "../../src/trace/record/recording.js";
import { openTracefs, whyNotRecord } from "../../src/trace/record/tracefs.node.js";
import { readFormats } from "../../src/trace/ring/choose-formats.js";
import type { TraceNote } from "../../src/trace/source.js";
import { refusal, refusalOf } from "../observe/helpers.js";
import { CountingSink } from "./counting-sink.js";
import { filesOf, MadePage } from "./ring-pages.js";

describe("what waits and what goes out", () => {
  const { header, table } = readFormats(filesOf());
  const live = (): { merge: LiveMerge; out: number[]; take: (b: EventBatch) => void } => {
    const out: number[] = [];
    const take = (batch: EventBatch): void => {
      for (let i = 0; i < batch.length; i++) out.push(batch.x[i]);
    };
    return { merge: new LiveMerge([0, 1], header, table), out, take };
  };
  const push = (merge: LiveMerge, index: number, page: MadePage): number => {
    const room = merge.room();
    room.bytes.set(page.bytes);
    return merge.push(index, room);
  };

  it("hands on up to the watermark only, and the rest later", async () => {
    const { merge, out, take } = live();
    expect(push(merge, 0, new MadePage(10n).free(1, 0, 0).free(2, 0, 20))).toBe(10);
    await merge.advance(20, take);
    await merge.flush(take);
    expect(out).toEqual([1]);
    push(merge, 1, new MadePage(15n).free(3, 0, 7));
    await merge.advance(25, take);
    await merge.flush(take);
    expect(out).toEqual([1, 3]);
    await merge.advance(Infinity, take);
    await merge.flush(take);
    expect(out).toEqual([1, 3, 2]);
    expect(merge).toMatchObject({ rows: 3, late: 0 });
  });

  it("raises and counts what comes after its time", async () => {
    const { merge, take } = live();
    const sink = new CountingSink();
    push(merge, 0, new MadePage(100n).free(1, 0, 0));
    await merge.advance(1000, take);
    push(merge, 1, new MadePage(50n).free(2, 0, 0));
    await merge.advance(1000, take);
    await merge.flush((b) => sink.write(b));
    expect(merge.late).toBe(1);
    expect(sink).toMatchObject({ rows: 2, ordered: true, last: 100 });
  });

  it("hands on full batches in between, from many sub-buffers", async () => {
    const { merge, out, take } = live();
    for (let k = 0; k < 300; k++) {
      const page = new MadePage(BigInt(k * 1000));
      for (let i = 0; i < 100; i++) page.free(k * 100 + i, 0, 1);
      push(merge, k & 1, page);
    }
    await merge.advance(Infinity, take);
    expect(out.length).toBeGreaterThan(8192);
    await merge.flush(take);
    expect(out).toEqual(Array.from({ length: 30_000 }, (_, i) => i));
    expect(merge.events(0) + merge.events(1)).toBe(30_000);
  });

  it("goes on after a sub-buffer that cannot be, and says so", async () => {
    const { merge, out, take } = live();
    const bad = new MadePage(10n).free(1, 0, 0);
    bad.bytes[9] = 0xff;
    push(merge, 0, bad);
    push(merge, 0, new MadePage(20n).free(2, 0, 0).missed(5));
    await merge.advance(Infinity, take);
    await merge.flush(take);
    expect(out).toEqual([5, 2]);
    expect([...merge.faults.values()]).toEqual([1]);
    expect(merge.lost(0)).toBe(5);
  });
});

/** Number of a process that runs to the end of the test. */
function spawnSleep(): number {
  const child = spawn("sleep", ["60"], { stdio: "ignore" });
  onTestFinished(() => {
    child.kill();
  });
  return child.pid ?? 0;
}

describe("instances", () => {
  const root = (): string => {
    const path = mkdtempSync(join(tmpdir(), "memdesc-tracefs-"));
    onTestFinished(() => rmSync(path, { recursive: true, force: true }));
    mkdirSync(join(path, "instances"));
    return path;
  };

  it("removes those of processes that are gone, and no others", () => {
    const path = root();
    // Beyond the largest process number that Linux gives.
    const running = `memdesc-${process.ppid}`;
    // A number that was given again: the process is younger than the instance.
    const again = "memdesc-" + String(spawnSleep());
    for (const name of ["memdesc-4194999", "memdesc-x", "other", running, again])
      mkdirSync(join(path, "instances", name));
    const busy = join(path, "instances", "memdesc-4194998");
    mkdirSync(busy);
    writeFileSync(join(busy, "held"), "");
    utimesSync(join(path, "instances", again), 1000, 1000);
    const stale = removeStaleInstances(path);
    expect(stale.removed.toSorted()).toEqual(["memdesc-4194999", again].toSorted());
    expect(stale.kept.map((n) => n.subject)).toEqual(["memdesc-4194998"]);
    expect(readdirSync(join(path, "instances"))).toEqual(
      expect.arrayContaining(["memdesc-4194998", "memdesc-x", "other", running]),
    );
  });

  it("leaves none where a setting is refused", () => {
    const path = root();
    const error = refusal(() => new TraceInstance(path, { clock: "mono", bufferKib: 64 }));
    expect(error.message).toMatch(/^instances\/memdesc-\d+\/tracing_on: no such file/);
    expect(readdirSync(join(path, "instances"))).toEqual([]);
  });
});

/** Why no real recording is made here: not root, or a container that may not mount. */
const cannot = ((): string | null => {
  const why = whyNotRecord();
  if (why !== null) return why;
  try {
    openTracefs().close();
    return null;
  } catch (error) {
    return error instanceof InputError ? error.message : String(error);
  }
})();

const instances = (): string[] => {
  const tracefs = openTracefs();
  try {
    const own = `memdesc-${process.pid}`;
    // Other tests, and others on this machine, may be recording too.
    return readdirSync(join(tracefs.root, "instances")).filter((n) => n === own);
  } finally {
    tracefs.close();
  }
};

describe.skipIf(cannot !== null)("real recordings", () => {
  const options = (sink: CountingSink, changes: Partial<RecordOptions>): RecordOptions => ({
    label: "test",
    command: [],
    limit: 10_000,
    bufferKib: 4096,
    leaveOutOwn: false,
    sampleEvery: null,
    takeSnapshot: async () => Uint8Array.of(1),
    openSink: async () => sink,
    stop: new AbortController().signal,
    force: new AbortController().signal,
    onNote: () => {},
    onProgress: () => {},
    ...changes,
  });

  it("records a command between two states, in order", async () => {
    const sink = new CountingSink();
    const notes: TraceNote[] = [];
    const command = [
      "sh",
      "-c",
      "i=0; while [ $i -lt 50 ]; do /bin/true; i=$((i+1)); done; exit 3",
    ];
    const recorded = await record(options(sink, { command, onNote: (n) => notes.push(n) }));
    expect(recorded.command).toEqual({ code: 3, signal: null });
    expect(recorded).toMatchObject({ events: sink.rows, cut: false });
    expect(sink.ordered).toBe(true);
    expect(sink.states).toEqual(["before: there at row 0", `after: there at row ${sink.rows}`]);
    // 50 processes, each with some pages.
    expect(sink.counts()["mm_page_alloc"]).toBeGreaterThan(500);
    expect(notes.map((n) => n.text).join()).toMatch(/\d+ of the events are its own/);
    expect(sink.summary?.notes.some((n) => n.subject === "ring buffer")).toBe(false);
    expect([...(sink.summary?.commands.values() ?? [])]).toContain("true");
    expect(instances()).toEqual([]);
  });

  it("looks at young frames, and says at how many", async () => {
    const sink = new CountingSink();
    const notes: TraceNote[] = [];
    const command = ["sh", "-c", "i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i+1)); done"];
    const changes = { command, sampleEvery: 20, onNote: (n: TraceNote) => notes.push(n) };
    const recorded = await record(options(sink, changes));
    const samples = sink.counts()["sample"];
    expect(samples).toBeGreaterThan(0);
    expect(sink.rows).toBe(recorded.events + samples);
    expect(sink.ordered).toBe(true);
    expect(notes.find((n) => n.subject === "samples")?.text).toMatch(/samples of .* allocations/);
  });

  it("leaves its own events out where asked to", async () => {
    const kept = new CountingSink();
    await record(options(kept, { command: ["true"] }));
    expect(kept.pids.has(process.pid)).toBe(true);
    const without = new CountingSink();
    await record(options(without, { command: ["true"], leaveOutOwn: true }));
    expect(without.pids.has(process.pid)).toBe(false);
  });

  it("ends in time, and ends a command that does not", async () => {
    const sink = new CountingSink();
    const recorded = await record(options(sink, { command: ["sleep", "60"], limit: 200 }));
    expect(recorded).toMatchObject({ cut: true, command: { code: null, signal: "SIGTERM" } });
    expect(sink.summary).not.toBeNull();
    expect(instances()).toEqual([]);
  });

  it("ends when told to", async () => {
    const sink = new CountingSink();
    const stop = new AbortController();
    setTimeout(() => stop.abort("SIGINT"), 200);
    const recorded = await record(options(sink, { limit: null, stop: stop.signal }));
    expect(recorded.command).toBeNull();
    expect(sink.summary).not.toBeNull();
  });

  it.each<[string, Partial<RecordOptions>, RegExp]>([
    ["a command that is not there", { command: ["/nonesuch"] }, /^\/nonesuch: cannot be started/],
    [
      "a file that cannot be begun",
      { openSink: () => Promise.reject(new InputError({ file: "t.mdt" }, "no space")) },
      /t\.mdt: no space/,
    ],
  ])("leaves nothing behind after %s", async (_what, changes, says) => {
    const sink = new CountingSink();
    expect((await refusalOf(record(options(sink, changes)))).message).toMatch(says);
    expect(sink.summary).toBeNull();
    expect(instances()).toEqual([]);
  });

  it("gives the file up when the disk is full, and ends the command", async () => {
    class Full extends CountingSink {
      override write(): void {
        throw new InputError({ file: "t.mdt" }, "no space left on the device");
      }
    }
    const sink = new Full();
    const command = ["sh", "-c", "while :; do /bin/true; done"];
    const error = await refusalOf(record(options(sink, { command })));
    expect(error.message).toBe("t.mdt: no space left on the device");
    expect(sink.aborted).toBe(true);
    expect(instances()).toEqual([]);
  });

  it("counts what a buffer too small for the load lost", async () => {
    const sink = new CountingSink();
    const command = ["sh", "-c", "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done"];
    const recorded = await record(options(sink, { command, bufferKib: 8 }));
    expect(recorded.lost).toBeGreaterThan(0);
    expect(recorded.lostByCpu.reduce((a, b) => a + b)).toBe(recorded.lost);
    expect(sink.counts()["lost"]).toBeGreaterThan(0);
    expect(sink.ordered).toBe(true);
  });

  it("mounts nothing that stays", () => {
    expect(existsSync("/sys/kernel/tracing")).toBe(true);
    const mounts = readdirSync("/sys/kernel/tracing").length;
    openTracefs().close();
    expect(readdirSync("/sys/kernel/tracing")).toHaveLength(mounts);
  });
});
