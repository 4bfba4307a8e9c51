/**
 * `memdesc inspect --kinds-only` and `--flags` on real machines: what is
 * printed, how wide, in which colours, and that it agrees with page-types.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fixture, memdesc } from "./run.js";

const GUESTS = ["guest-6.1", "guest-6.12", "vm-6.18"] as const;

describe("inspect --kinds-only", () => {
  it.each(GUESTS)("prints %s in 80 columns without colour codes", (name) => {
    const { code, out, err } = memdesc(["inspect", "--kinds-only", fixture(name)]);
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(out).toContain("WHAT THE PAGES ARE");
    expect(out).not.toContain("\u001b");
    const wide = out
      .split("\n")
      .filter((line) => [...line].length > 80 && !line.includes(fixture(name)));
    expect(wide).toEqual([]);
    expect(out.split("\n").filter((line) => line !== line.trimEnd())).toEqual([]);
  });

  it("colours where FORCE_COLOR asks for it, and never where NO_COLOR forbids it", () => {
    const args = ["inspect", "--kinds-only", fixture("guest-6.1")];
    expect(memdesc(args, { FORCE_COLOR: "1" }).out).toContain("\u001b[1m");
    expect(memdesc(args, { FORCE_COLOR: "1", NO_COLOR: "1" }).out).not.toContain("\u001b");
    expect(memdesc(args, { FORCE_COLOR: "0" }).out).not.toContain("\u001b");
  });

  it.each(GUESTS)("gives JSON whose pages add up to the frames of %s", (name) => {
    const { out, code } = memdesc(["inspect", "--kinds-only", "--json", fixture(name)]);
    expect(code).toBe(0);
    const report = JSON.parse(out);
    const pages = (kind: string): number =>
      report.kinds.find((row: { kind: string }) => row.kind === kind).pages;
    const all = report.kinds.reduce((sum: number, row: { pages: number }) => sum + row.pages, 0);
    expect(all - pages("absent")).toBe(report.machine.frames);
    expect(report.machine.ram).toBe(report.machine.frames * 4096);
  });
});

describe("inspect --flags", () => {
  it.each(GUESTS)("prints for %s the very lines that page-types prints", (name) => {
    for (const [file, args] of [
      ["page-types.txt", []],
      ["page-types-r.txt", ["--raw"]],
    ] as const) {
      const answer = readFileSync(join(fixture(name), file), "utf8");
      const { out, code } = memdesc(["inspect", "--flags", ...args, fixture(name)]);
      expect(code).toBe(0);
      expect(sorted(out)).toEqual(sorted(answer));
    }
  });
});

function sorted(text: string): string[] {
  return text.trimEnd().split("\n").toSorted();
}
