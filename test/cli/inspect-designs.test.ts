/**
 * `memdesc inspect` with designs, through the built command line: what is
 * printed fits a terminal, what is told as data adds up and conforms to the
 * published schema, and the round trip decides the exit code.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { InspectReport } from "../../src/report/model.js";
import { disagreements } from "../report/schema-check.js";
import { fixture, isOneLine, memdesc, ROOT, scratch, shell } from "./run.js";

const FIVE = ["today", "page32", "memdesc16", "memdesc8", "slot64"];
const MIB = 2 ** 20;

function reportOf(...args: string[]): InspectReport {
  const { code, out, err } = memdesc(["inspect", "--json", ...args]);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  return JSON.parse(out);
}

describe.each(["guest-6.1", "guest-6.12", "vm-6.18"] as const)("inspect %s", (name) => {
  it("prints machine, kinds and five designs in 80 columns", () => {
    const { code, out, err } = memdesc(["inspect", fixture(name), "--explain"]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const wide = out.split("\n").filter((line) => [...line].length > 80 && !line.includes(ROOT));
    expect(wide).toEqual([]);
    for (const design of FIVE) expect(out).toMatch(new RegExp(`^${design} `, "m"));
    expect(out).toContain("ARITHMETIC");
  });

  it("gives data that adds up and conforms to the schema", () => {
    const report = reportOf(fixture(name));
    const schema = JSON.parse(readFileSync(join(ROOT, "docs/inspect.schema.json"), "utf8"));
    expect(disagreements(JSON.parse(JSON.stringify(report)), schema)).toEqual([]);
    expect(report.designs.map((row) => row.design)).toEqual(FIVE);
    const today = report.designs[0];
    for (const row of report.designs) {
      const parts = row.descriptors.reduce((sum, d) => sum + d.bytes + d.waste, row.pageArray);
      expect([row.design, row.total]).toEqual([row.design, parts]);
      expect(row.change).toBe(row.total - today.total);
      expect(row.shareOfRam).toBeCloseTo(row.total / report.machine.ram, 12);
      for (const d of row.descriptors) {
        expect(d.bytes).toBe(d.objects * d.size);
        expect(d.waste).toBeGreaterThanOrEqual(0);
      }
    }
  });

  it("passes the round trip in every design", () => {
    const { code, out } = memdesc(["inspect", "--verify", "--json", fixture(name)]);
    const report: InspectReport = JSON.parse(out);
    expect(report.designs.map((row) => [row.design, row.verify?.differences])).toEqual(
      FIVE.map((design) => [design, 0]),
    );
    for (const row of report.designs) expect(row.verify?.compared).toBeGreaterThan(0);
    expect(code).toBe(0);
  });
});

describe("inspect", () => {
  const guest = fixture("guest-6.12");

  it("compares the designs that are asked for, in that order", () => {
    const report = reportOf("--designs", "memdesc8", "--designs", "today,page32", guest);
    expect(report.designs.map((row) => row.design)).toEqual(["memdesc8", "today", "page32"]);
  });

  it("refuses designs and what-ifs that do not exist or do not fit, in one line", () => {
    for (const args of [
      ["--designs", "memdesc7"],
      ["--designs", "memdesc8+mapcount=sometimes"],
      ["--what-if", "file-order=99"],
      ["--what-if", "colour=blue"],
      ["--what-if", "ram=nothing"],
    ]) {
      const { code, err } = memdesc(["inspect", ...args, guest]);
      expect(err).toSatisfy(isOneLine);
      expect(err).toContain(args[1].split(/[+=]/)[0]);
      expect(code).toBe(2);
    }
  });

  it("rebuilds the machine for a what-if: larger file folios need fewer descriptors", () => {
    const fileObjects = (report: InspectReport): number =>
      report.kinds.find((row) => row.kind === "file")?.objects ?? 0;
    const plain = reportOf("--designs", "today,memdesc8", guest);
    const grouped = reportOf("--designs", "today,memdesc8", "--what-if", "file-order=2", guest);
    expect(grouped.machine.whatIf).toEqual(["file-order=2"]);
    expect(fileObjects(grouped)).toBeLessThan(fileObjects(plain));
    expect(grouped.designs[1].total).toBeLessThan(plain.designs[1].total);
  });

  it("takes a captured machine for the machine itself", () => {
    const capture = join(scratch(), "guest.memdesc");
    expect(memdesc(["capture", capture, "--from", guest]).code).toBe(0);
    const strip = ({ machine, ...rest }: InspectReport): unknown => ({
      ...rest,
      machine: { ...machine, label: "", origin: "", readSeconds: 0 },
    });
    expect(strip(reportOf(capture))).toEqual(strip(reportOf(guest)));
  });

  it("writes one whole HTML page beside what it prints", () => {
    const page = join(scratch(), "report.html");
    const { code, out } = memdesc(["inspect", "--html", page, guest]);
    expect(code).toBe(0);
    expect(out).toContain("WHAT DESCRIBING THEM COSTS");
    const text = readFileSync(page, "utf8");
    expect(text.trimEnd().endsWith("</html>")).toBe(true);
    expect(text.length).toBeLessThan(MIB);
    for (const design of FIVE) expect(text).toContain(design);
  });

  it("ends at once on Ctrl-C, with nothing half written", () => {
    const dir = scratch();
    const page = join(dir, "report.html");
    const run = `timeout --preserve-status -s INT 0.4 $MEMDESC inspect --html ${page} ${fixture("vm-6.18")}`;
    const { code, err } = shell(`${run} > /dev/null; echo "$?" >&2; ls -A ${dir} >&2`);
    expect(code).toBe(0);
    expect(err).toMatch(/^(130\n|0\nreport\.html\n)$/);
  });
});

describe("page", () => {
  it("tells everything about a page, in five designs", () => {
    const totals = memdesc(["page", "--json", "0", fixture("guest-6.12")]);
    expect(totals.code).toBe(0);
    const page = JSON.parse(totals.out);
    expect(page).toMatchObject({ schema: "memdesc/page/1", pfn: 0, kind: "reserved" });
    expect(page.flags).toContain("reserved");
    expect(page.designs.map((row: { design: string }) => row.design)).toEqual(FIVE);
    const { out, code } = memdesc(["page", "0x0", fixture("guest-6.12")]);
    expect(code).toBe(0);
    expect(out).toMatch(/^pfn 0 \(0x0\) · reserved\n/);
    expect(out.split("\n").filter((line) => [...line].length > 80 && !line.includes(ROOT))).toEqual(
      [],
    );
  });
});
