/**
 * `memdesc inspect --device` through the built command line: what a device costs
 * on the host, as a table, as data and as a page; beside the report of a machine
 * that it does not change.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { DeviceReport, InspectReport } from "../../src/report/model.js";
import { disagreements } from "../report/schema-check.js";
import { fixture, isOneLine, memdesc, ROOT, scratch } from "./run.js";

const GUEST = fixture("guest-6.1");
const GIB = 2 ** 30;
const MIB = 2 ** 20;

function reportOf(...args: string[]): InspectReport {
  const { code, out, err } = memdesc(["inspect", "--json", GUEST, ...args]);
  expect({ code, err }).toEqual({ code: 0, err: "" });
  return JSON.parse(out);
}

function deviceOf(report: InspectReport): DeviceReport {
  if (report.device === null) throw new Error("no device in the report");
  return report.device;
}

describe("inspect --device", () => {
  it("prints every name and record in 80 columns, and 16.0 MiB per GiB for today's", () => {
    const { code, out, err } = memdesc(["inspect", "--device", "80GiB", "--explain", GUEST]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const lines = out.split("\n");
    expect(lines.filter((line) => [...line].length > 80 && !line.includes(ROOT))).toEqual([]);
    const at = lines.findIndex((line) => line.startsWith("A DEVICE OF 80.0 GiB "));
    expect(lines[at]).toMatch(/static +chunk +request +in use +per GiB +vs today$/);
    expect(lines[at + 1]).toMatch(
      /^physical +page +1.25 GiB +4.00 KiB +4.00 KiB +1.25 GiB +16.0 MiB +–$/,
    );
    expect(out).toMatch(/^offset +folio +160 MiB /m);
    expect(out).toMatch(/^tuple +device-private \* /m);
    expect(out).toMatch(/^memdesc8 \* +160 MiB /m);
    expect(out).toMatch(/1\.00 GiB of it built/);
    // Folded at blanks: the sum as one line again.
    const flat = out.replace(/\n +/g, " ");
    expect(flat).toContain("in service = 1,342,181,376 B = records 262,144 × 80 × 64 B in");
    expect(flat).toContain("measured on 1.00 GiB × 80: 4,097 frames taken there");
  });

  it("gives data that conforms to the schema, of all designs asked for, compared with today", () => {
    const report = reportOf("--device", "8GiB", "--designs", "memdesc8,page32");
    const schema = JSON.parse(readFileSync(join(ROOT, "docs/inspect.schema.json"), "utf8"));
    expect(disagreements(JSON.parse(JSON.stringify(report)), schema)).toEqual([]);
    const device = deviceOf(report);
    expect(device).toMatchObject({ size: 8 * GIB, order: 0, measured: GIB });
    expect([...new Set(device.rows.map(({ words }) => words))]).toEqual(["memdesc8", "page32"]);
    expect(device.rows).toHaveLength(2 * 7);
    const today = 8 * 16 * MIB + 4096;
    for (const row of device.rows) {
      expect(row.change).toBe(row.inService - today);
      expect(row.perGiB).toBe(row.inService / 8);
    }
  });

  it("counts folios of 2 MiB with :huge, which pay for the record without pages", () => {
    const rows = (size: string): DeviceReport["rows"] =>
      deviceOf(reportOf("--device", size, "--designs", "today")).rows;
    const [single, huge] = [rows("1GiB"), rows("1GiB:huge")];
    const folio = (all: DeviceReport["rows"]): number =>
      all.find(({ name, record }) => name === "offset" && record === "folio")?.inService ?? 0;
    expect(folio(single)).toBeGreaterThan(16 * MIB);
    expect(folio(huge)).toBeLessThan(3 * MIB);
    expect(huge[0].inService).toBe(single[0].inService);
  });

  it("prices page words once, whatever designs choose for devices", () => {
    const report = reportOf("--device", "2MiB", "--designs", "today,device-offset,device-tuple");
    expect(report.designs).toHaveLength(3);
    expect(deviceOf(report).rows.map(({ words }) => words)).toEqual(Array(7).fill("today"));
  });

  it("leaves the rest of the report as it is", () => {
    const strip = ({ device: _device, machine, arithmetic, ...rest }: InspectReport): unknown => ({
      ...rest,
      machine: { ...machine, readSeconds: 0 },
      arithmetic: arithmetic.filter(({ figure }) => !figure.startsWith("device of ")),
    });
    const without = reportOf("--designs", "today,memdesc8");
    expect(without.device).toBeNull();
    const withOne = reportOf("--designs", "today,memdesc8", "--device", "64MiB");
    expect(strip(withOne)).toEqual(strip(without));
  });

  it("refuses a machine with other pages than those it is measured with", () => {
    const args = ["inspect", "--device", "8GiB", "--what-if", "page-size=64k", "--json"];
    const { code, err } = memdesc([...args, fixture("vm-6.18")]);
    expect(err).toSatisfy(isOneLine);
    expect(err).toContain("pages of 4.00 KiB, the machine has pages of 64.0 KiB");
    expect(code).toBe(2);
  });

  it("draws it in the HTML page", () => {
    const page = join(scratch(), "report.html");
    const args = ["inspect", "--device", "1GiB", "--designs", "today", "--html", page, GUEST];
    expect(memdesc(args).code).toBe(0);
    const text = readFileSync(page, "utf8");
    expect(text).toContain("What a device of 1.00 GiB costs");
    expect(text).toContain("16.0 MiB");
    expect(text).not.toMatch(/NaN|undefined/);
  });
});
