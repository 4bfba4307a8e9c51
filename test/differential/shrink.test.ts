/** Shrinking: what is left still fails, and nothing more can be taken away. */
import { describe, expect, it } from "vitest";
import { campaign, type Listener } from "../../differential/campaign.js";
import { NOTHING_IGNORED } from "../../differential/compare.js";
import { everything, generate } from "../../differential/generate.js";
import { NO_RESULT, type Result } from "../../differential/observe.js";
import { PAGE, type Op, type Program } from "../../differential/program.js";
import { shrink, simplerThan } from "../../differential/shrink.js";
import { StateWriter } from "../../differential/state-writer.js";
import { stepwise, type Subject } from "../../differential/subject.js";

/** A subject that answers with one function; its state shows only how far it is. */
function simple(name: string, answer: (op: Op, before: readonly Op[]) => Result): Subject {
  let done: Op[] = [];
  const writer = new StateWriter();
  return stepwise(name, {
    start() {
      done = [];
    },
    step(op) {
      const result = answer(op, done);
      done.push(op);
      return result;
    },
    observe: () => writer.write({ files: FILES, pool: { free: 0, reserved: 0 }, processes: [] }),
    end() {},
  });
}
const FILES = [0, 1, 2].map(() => ({ size: 0, cached: [] }));
const fine = simple("right", () => NO_RESULT);

describe("shrinking", () => {
  it("keeps only the two steps that matter, and makes them small", async () => {
    const program = generate(3, everything(80));
    const fails = async ({ steps }: Program): Promise<boolean> => {
      const map = steps.findIndex((op) => op.op === "mmap");
      return steps.some((op, i) => op.op === "write" && map >= 0 && i > map);
    };
    expect(await fails(program)).toBe(true);
    const small = await shrink(program, fails);
    expect(small.steps.map((op) => op.op)).toEqual(["mmap", "write"]);
    expect(small.steps[1]).toMatchObject({ pages: 1, value: 1 });
  });

  it("halves a length to the least that fails", async () => {
    const op: Op = { op: "munmap", process: 0, address: 0x100_001e_0000, length: 100 * PAGE };
    const fails = async ({ steps }: Program): Promise<boolean> =>
      steps.some((one) => one.op === "munmap" && one.length >= 7 * PAGE);
    const small = await shrink({ seed: 1, steps: [op] }, fails);
    expect(small.steps).toEqual([{ ...op, length: 7 * PAGE }]);
  });

  it("never speaks to a process that a removed step would have made", async () => {
    const steps: Op[] = [
      { op: "fork", process: 0, child: 1 },
      { op: "exit", process: 1 },
    ];
    const tried: Program[] = [];
    await shrink({ seed: 1, steps }, async (program) => {
      tried.push(program);
      return false;
    });
    expect(tried.length).toBeGreaterThan(0);
    for (const { steps: left } of tried) expect(left[0]?.op).not.toBe("exit");
  });

  it("offers only what is simpler, so that it ends", () => {
    for (const kind of ["bytes", "pages", "number"] as const)
      for (const value of [0, 1, 2, 4095, 4096, 4097, 100000])
        for (const other of simplerThan(kind, value)) expect(other).toBeLessThan(value);
  });
});

describe("a campaign", () => {
  const heard: { what: string; steps: number }[] = [];
  const listener: Listener = {
    progress() {},
    difference: (found, small) => void heard.push({ what: found.what, steps: small.steps.length }),
    unstable: (found) => void heard.push({ what: `unstable ${found.what}`, steps: 0 }),
  };
  const limits = { programs: 3, ignored: NOTHING_IGNORED, stop: () => false };

  it("finds nothing where both agree", async () => {
    const tally = await campaign([fine, fine], 1, everything(40), limits, listener);
    expect(tally).toMatchObject({ programs: 3, differences: 0, unstable: 0 });
  });

  it("finds what differs, and shrinks and tells one of a kind", async () => {
    heard.length = 0;
    const wrong = simple("wrong", (op) =>
      op.op === "write" ? { ...NO_RESULT, error: 14 } : NO_RESULT,
    );
    const tally = await campaign([fine, wrong], 1, everything(40), limits, listener);
    expect(tally.differences).toBe(3);
    expect([...tally.kinds]).toEqual([["result of write: ok or EFAULT", 3]]);
    expect(heard).toEqual([{ what: "result of write: ok or EFAULT", steps: 1 }]);
  });

  it("does not count what does not come back", async () => {
    heard.length = 0;
    let calls = 0;
    const moody = simple("moody", (op) =>
      op.op === "write" && ++calls === 1 ? { ...NO_RESULT, error: 14 } : NO_RESULT,
    );
    const tally = await campaign([fine, moody], 1, everything(40), limits, listener);
    expect(tally).toMatchObject({ differences: 0, unstable: 1 });
    expect(heard[0].what).toMatch(/^unstable result of write/);
  });

  it("reports a subject that fails itself", async () => {
    heard.length = 0;
    const broken = simple("broken", (op) => {
      if (op.op === "munmap") throw new Error("out of order");
      return NO_RESULT;
    });
    const tally = await campaign([fine, broken], 1, everything(60), limits, listener);
    expect(tally.differences).toBeGreaterThan(0);
    expect(heard[0]).toMatchObject({ steps: 1 });
    expect(heard[0].what).toMatch(/^failure/);
  });
});
