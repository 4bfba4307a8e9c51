/**
 * The published schema describes what is really printed, and would notice if it
 * did not.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { classify } from "../../src/observe/classify/classify.js";
import { openSource } from "../../src/observe/source.node.js";
import { renderJson } from "../../src/report/json.js";
import { kindsReport } from "../../src/report/kinds-report.js";
import { SAMPLE } from "./sample-report.js";
import { disagreements } from "./schema-check.js";

const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const schema = JSON.parse(readFileSync(file("docs/inspect.schema.json"), "utf8"));

describe("docs/inspect.schema.json", () => {
  it("describes a report that uses every field", () => {
    expect(disagreements(JSON.parse(renderJson(SAMPLE)), schema)).toEqual([]);
  });

  it.each(["guest-6.1", "guest-6.12", "vm-6.18"])("describes the report of %s", async (name) => {
    const snapshot = await openSource(file(`test/fixtures/${name}`), { pages: "flags-only" });
    const report = kindsReport(snapshot, classify(snapshot), null);
    expect(disagreements(JSON.parse(renderJson(report)), schema)).toEqual([]);
  });

  it.each([
    ["a missing field", { kinds: undefined }, "$: no kinds"],
    ["an unknown field", { extra: 1 }, "$: unexpected extra"],
    ["a wrong type", { notes: [{ subject: 1, text: "" }] }, "$.notes[0].subject: 1 is not string"],
    ["another schema", { schema: "memdesc/inspect/2" }, "$.schema: not memdesc/inspect/1"],
  ])("notices %s", (_name, change, complaint) => {
    const document = JSON.parse(JSON.stringify({ ...SAMPLE, ...change }));
    expect(disagreements(document, schema)).toEqual([complaint]);
  });
});
