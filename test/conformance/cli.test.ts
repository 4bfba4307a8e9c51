/**
 * The command line of `npm run conformance`: what it takes, what it refuses in one
 * line, and tables that fit 80 columns.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CommanderError } from "commander";
import { VARIANTS } from "../../conformance/cases/case.js";
import { CASES } from "../../conformance/cases/index.js";
import { readOptions } from "../../conformance/options.js";
import { reportJson, reportLines, type Ran } from "../../conformance/report.js";
import { deviceProduct, plainAxes } from "../../src/engine/design/device-axes.js";
import { textWidth } from "../../src/report/table.js";

describe("arguments", () => {
  let said = "";
  beforeEach(() => {
    said = "";
    vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      said += String(text);
      return true;
    });
  });
  afterEach(() => vi.restoreAllMocks());

  it("are none for all cases on every page word with every name, record, lifetime, activation", () => {
    const options = readOptions([]);
    expect(options.designs.length).toBe(deviceProduct(plainAxes()).legal.length);
    expect(new Set(options.designs.map((d) => d.word)).size).toBe(5);
    expect(readOptions(["--every"]).designs.length).toBe(deviceProduct().legal.length);
    expect(options.cases.length).toBe(39);
    expect(options.variants).toEqual(VARIANTS);
  });

  it("choose designs, cases and variants", () => {
    const options = readOptions(
      "--design today,device-tuple --case snapshot --case hmm.migrate --variant device_coherent".split(
        " ",
      ),
    );
    expect(options.designs.map((d) => d.name)).toEqual(["today", "device-tuple"]);
    expect(options.cases).toEqual(["hmm2.snapshot", "hmm.migrate"]);
    expect(options.variants).toEqual(["device_coherent"]);
  });

  it.each([
    ["--design", "nothing"],
    ["--design", "today+device-name=physical+device-record=folio"],
    ["--case", "hmm.nothing"],
    ["--variant", "device"],
    ["--jobs", "0"],
    ["--jobs", "many"],
    ["--largest", "3"],
    ["--seed", "-1"],
    ["--nothing"],
    ["extra"],
    ["--pairs", "--design", "today"],
    ["--pairs", "--every"],
  ])("that mean nothing are refused in one line: %s %s", (...words) => {
    expect(() => readOptions(words)).toThrow(CommanderError);
    expect(said).toMatch(/^conformance: [^\n]+ \(see --help\)\n$/);
  });
});

describe("the report", () => {
  const ran: Ran[] = deviceProduct()
    .legal.filter((_, i) => i % 97 === 0)
    .map(({ design }, n) => ({
      design: design.name,
      of: design,
      ms: 1234.5,
      results: CASES.flatMap(({ name }, i) =>
        VARIANTS.map((variant) => ({
          name,
          variant,
          failure: i === n ? `"READ c=n,f=1": cpages is ${n}, must be 1024` : null,
          cannot: i === n + 1 ? "it is too large for it" : null,
          ms: 10,
          notes: [],
        })),
      ),
    }));

  it("fits 80 columns, but for names that are longer than a line", () => {
    const long = reportLines(ran, ran.length, 1e6).filter(
      (line) => textWidth(line) > 80 && !/\+\S{60}/.test(line),
    );
    expect(long).toEqual([]);
  });

  it("names every failure with its design, and what cannot be", () => {
    const text = reportLines(ran, ran.length, 1e6).join("\n").replace(/\s+/g, " ");
    expect(text).toContain(`FAILED ${CASES[0].name} (device_private) on ${ran[0].design}`);
    expect(text).toContain("not representable: hmm.anon_read (device_private): it is too large");
    const failed = ran.length * 2;
    expect(text).toContain(`${failed} failed`);
  });

  it("is the same for programs", () => {
    const report: unknown = JSON.parse(reportJson(ran, ran.length, 1e6));
    expect(report).toMatchObject({
      schema: "memdesc/conformance/1",
      asked: ran.length,
      designs: ran.map(({ design }) => ({ design, failed: 2, notRepresentable: 2 })),
      failures: ran.flatMap(({ design }, i) =>
        VARIANTS.map((variant) => ({ design, case: CASES[i].name, variant })),
      ),
    });
  });
});
