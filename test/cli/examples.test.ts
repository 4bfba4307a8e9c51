/**
 * Every bundled scenario: it is listed, it is short, and it comes to its end on
 * every design.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DESIGNS } from "../engine/machines.js";
import { memdesc, ROOT } from "./run.js";

const listed = JSON.parse(memdesc(["run", "--list", "--json"]).out) as {
  readonly name: string;
  readonly about: string;
}[];

/** Lines of a page. */
const PAGE = 70;

describe("the bundled scenarios", () => {
  it("are listed by the name that runs them, with what they show", () => {
    const { code, out } = memdesc(["run", "--list"]);
    expect(code).toBe(0);
    expect(listed.map(({ name }) => name)).toContain("folio-life");
    for (const { name } of listed) expect(out).toContain(`${name} `);
    expect(out.split("\n").filter((line) => line.length > 80)).toEqual([]);
  });

  it.each(listed)("$name is a page long and opens with what it shows", ({ name }) => {
    const text = readFileSync(join(ROOT, "examples", `${name}.ts`), "utf8");
    expect(text).toMatch(/^\/\*\*\n \* \S/);
    expect(text.split("\n").length).toBeLessThanOrEqual(PAGE);
  });

  it.each(listed)("$name comes to its end on every design, in 80 columns", ({ name }) => {
    const { code, out, err } = memdesc(["run", name, "--design", DESIGNS.join(",")]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out.split("\n").filter((line) => [...line].length > 80)).toEqual([]);
    for (const design of DESIGNS.slice(1)) expect(out.replace(/\n\s+/g, " ")).toContain(design);
  });
});
