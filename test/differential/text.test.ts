/** Programs as text: what is printed is read back; what cannot be read is refused by line. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { everything, generate } from "../../differential/generate.js";
import {
  ARENAS,
  OPS,
  isOp,
  isOpName,
  type Kind,
  type Op,
  type Program,
} from "../../differential/program.js";
import { ProgramTextError, parseProgram, printProgram } from "../../differential/text.js";

const address = fc.oneof(
  fc
    .constantFrom(...ARENAS)
    .chain(({ start, pages }) => fc.integer({ min: 0, max: pages * 4096 }).map((at) => start + at)),
  fc.integer({ min: -5000, max: 5000 }),
  fc.constantFrom(2 ** 47, 2 ** 52, Number.MAX_SAFE_INTEGER),
);
const bytes = fc.oneof(
  fc.integer({ min: -8192, max: 1 << 24 }),
  fc.constantFrom(2 ** 42, 2 ** 47, 2 ** 52, Number.MAX_SAFE_INTEGER),
);
const ofKind = (kind: Kind): fc.Arbitrary<number> => {
  if (kind === "address") return address;
  if (kind === "bytes") return bytes;
  if (kind === "process" || kind === "pages") return fc.nat(5000);
  if (kind === "file") return fc.integer({ min: -1, max: 9 });
  return fc.integer();
};

const anyOp: fc.Arbitrary<Op> = fc.constantFrom(...Object.keys(OPS)).chain((op) => {
  const args: Readonly<Record<string, Kind>> = isOpName(op) ? OPS[op].args : {};
  const values = Object.entries(args).map(([name, kind]) => [name, ofKind(kind)]);
  return fc
    .record({ process: fc.nat(15), ...Object.fromEntries(values) })
    .map((rest: object) => ({ op, ...rest }))
    .filter(isOp);
});

describe("programs as text", () => {
  it("reads back what it prints, whatever the arguments", () => {
    const program = fc.record({
      seed: fc.option(fc.nat(), { nil: null }),
      steps: fc.array(anyOp, { maxLength: 20 }),
    });
    fc.assert(
      fc.property(program, (one: Program) => {
        expect(parseProgram(printProgram(one))).toEqual(one);
      }),
    );
  });

  it("reads back generated programs", () => {
    for (let seed = 0; seed < 50; seed++) {
      const program = generate(seed, everything(60));
      expect(parseProgram(printProgram(program))).toEqual(program);
    }
  });

  it("reads a line as a person writes it", () => {
    const text = "# a comment\n\np1 madvise address=b+512p+8 length=4p+100 advice=dontneed # why\n";
    expect(parseProgram(text).steps).toEqual([
      {
        op: "madvise",
        process: 1,
        address: 0x100_3fc0_0000 + 512 * 4096 + 8,
        length: 4 * 4096 + 100,
        advice: 4,
      },
    ]);
  });

  it.each([
    ["p0 fly", "line 1: "],
    ["\nq0 exit", 'line 2: "q0"'],
    ["p0 munmap address=a+0p", "needs length"],
    ["p0 munmap address=a+0p length=x", '"x" is no bytes'],
    ["p0 exit now=1", '"now=1" is not an argument'],
    ["p0 munmap address=a+0p length=99999999999999999", "is no bytes"],
  ])("refuses %j", (text, why) => {
    expect(() => parseProgram(text)).toThrow(ProgramTextError);
    expect(() => parseProgram(text)).toThrow(why);
  });
});

describe("generated programs", () => {
  it("are the same for the same seed and differ for another", () => {
    const print = (seed: number): string => printProgram(generate(seed, everything(60)));
    expect(print(7)).toBe(print(7));
    expect(new Set(Array.from({ length: 20 }, (_, seed) => print(seed).slice(10))).size).toBe(20);
  });

  it("use every operation", () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 200; seed++)
      for (const { op } of generate(seed, everything(60)).steps) seen.add(op);
    expect([...seen].sort()).toEqual(Object.keys(OPS).sort());
  });

  it("leave out the parts that are not wanted", () => {
    const features = new Set(everything(60).features);
    for (const part of ["fork", "mremap", "pin", "hugetlb", "disk", "tmpfs"] as const)
      features.delete(part);
    for (let seed = 0; seed < 100; seed++)
      for (const op of generate(seed, { steps: 60, features }).steps) {
        expect(["fork", "mremap", "pin", "unpin"]).not.toContain(op.op);
        expect("file" in op ? op.file : -1).toBe(-1);
      }
  });

  it("let only living processes act", () => {
    for (let seed = 0; seed < 100; seed++) {
      const alive = new Set([0]);
      for (const op of generate(seed, everything(80)).steps) {
        expect(alive.has(op.process)).toBe(true);
        if (op.op === "fork") alive.add(op.child);
        if (op.op === "exit") alive.delete(op.process);
      }
    }
  });
});
