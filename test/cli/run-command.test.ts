/**
 * `memdesc run` as a user meets it: what it prints, how it leaves, and that a
 * file which cannot be loaded is said in one line with its place.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { disagreements } from "../report/schema-check.js";
import { isOneLine, memdesc, ROOT, scratch, shell, type Ran } from "./run.js";

/** Writes a file and gives its path. */
function file(name: string, text: string, dir = scratch()): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
}

/** A scenario with this body, whose first line is line 2 of its file. */
const scenario = (body: string): string =>
  file(
    "mine.ts",
    `import { defineScenario, T_FILE } from "memdesc"; export default defineScenario({ name: "mine", about: "a test", machine: { memory: "16MiB" }, run(s) { const m = s.machine;
${body}
} }); export const unused: number = T_FILE;
`,
  );

/** `memdesc run` on a scenario with this body. */
const run = (body: string, ...args: string[]): Ran => memdesc(["run", scenario(body), ...args]);

const tooLong = (out: string): string[] => out.split("\n").filter((line) => [...line].length > 80);

describe("a run", () => {
  it("tells the steps in order, with what each changed, and leaves with 0", () => {
    const { code, out, err } = run(
      `s.step("a folio", () => m.allocFolio(3, T_FILE)); s.note("so it is");`,
      "--design",
      "memdesc8",
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(out).toMatch(/^mine: a test\n/);
    expect(out).toMatch(/ 1 {2}a folio\n {4}\d+ lines read, \d+ written · descriptors \+1 large/);
    expect(out).toContain("metadata +8.00 KiB");
    expect(out).toContain("so it is\n");
  });

  it("says the same twice", () => {
    const body = `s.repeat("folios", 20, () => m.allocFolio(0, T_FILE)); s.show("then", [0, 1]);`;
    const path = scenario(body);
    const args = ["run", path, "--design", "today,memdesc8"];
    expect(memdesc(args).out).toBe(memdesc(args).out);
  });

  it("compares designs side by side and says where they differ", () => {
    const { code, out } = run(
      `s.step("a folio", () => m.allocFolio(0, T_FILE)); s.finding("bytes", m.design.pageBytes);`,
      "--design",
      "today,memdesc8,page64+separated=page-table",
    );
    expect(code).toBe(0);
    expect(out).toContain("C  today+separated=page-table\n");
    expect(out).toMatch(/SIDE BY SIDE +metadata +change/);
    expect(out).toMatch(/PER OPERATION +A +B +C\n1 a folio +\d+\+\d+ +\d+\+\d+ +\d+\+\d+\n/);
    expect(out).toContain("WHERE THEY DIFFER\nbytes\n  A, C: 64\n  B: 8\n");
  });

  it("counts what is done outside of steps, and says so", () => {
    const { out } = run(
      `const a = m.allocFolio(0, T_FILE); s.step("a folio", () => m.allocFolio(0, T_FILE)); m.putFolio(a);`,
      "--design",
      "memdesc8",
    );
    // The first folio brings a slab of folios and the slab of slab descriptors that describes both.
    expect(out).toMatch(/memdesc8 .* 4 +1 +\d+ +\d+ +ok\n/);
    expect(out).toContain("of the descriptors outside of steps: +3 −1;");
  });

  it("writes nothing on stderr where that is no terminal", () => {
    const slow = `const t = performance.now(); while (performance.now() - t < 1100);`;
    expect(run(slow, "--design", "today,memdesc8,page32").err).toBe("");
  });

  it("keeps what a scenario prints out of the report", () => {
    const { code, out, err } = run(`console.log("from inside");`, "--json");
    expect(code).toBe(0);
    expect(err).toBe("from inside\n");
    expect(() => JSON.parse(out)).not.toThrow();
  });

  it("fits 80 columns and moves no cursor, whatever is said", () => {
    const words = "a sentence that goes on and on ".repeat(9);
    const { out } = run(
      `s.step(${JSON.stringify(words)}, () => s.note(${JSON.stringify(`${words}\u001b[2J`)}));
       s.finding(${JSON.stringify(words)}, s.design);
       s.expect(${JSON.stringify(words)}, 1, 2);`,
      "--design",
      "today,memdesc8,memdesc16,page32,slot64,memdesc8+free-pointer=outside,memdesc8+page-bits=descriptor",
    );
    expect(tooLong(out)).toEqual([]);
    expect(out).not.toContain("\u001b");
  });
});

describe("help", () => {
  it("has examples and fits 80 columns", () => {
    const { code, out } = memdesc(["run", "--help"]);
    expect(code).toBe(0);
    expect(out).toContain("Examples:\n  $ memdesc run --list");
    expect(tooLong(out)).toEqual([]);
  });
});

describe("the answer no", () => {
  it("an expectation that does not hold ends the run with 1, naming step and place", () => {
    const { code, out, err } = run(
      `s.step("a folio", () => m.allocFolio(0, T_FILE));
s.expect("two is three", 2, 3); s.step("never", () => 1);`,
    );
    expect(code).toBe(1);
    expect(err).toBe("");
    expect(out).toContain("today: NO\n  after step 1, a folio\n");
    expect(out).toMatch(/ in {3}\S+mine\.ts:3:3\n/);
    expect(out).toContain("two is three: expected 3, it is 2");
    expect(out).not.toContain("never");
  });

  it("is no even where the scenario catches it", () => {
    expect(run(`try { s.expect("no", false); } catch {} s.step("on", () => 1);`).code).toBe(1);
  });

  it("a broken rule ends it with 1 and says rule, page, step and holder", () => {
    const { code, out } = run(
      `const pfn = s.step("take", () => m.allocPages(5));
       s.step("free it twice", () => { m.freePages(pfn, 5); m.freePages(pfn, 5); });
       s.step("never", () => 1);`,
    );
    expect(code).toBe(1);
    expect(out).toContain("today: BROKEN RULE\n  at   step 2, free it twice\n");
    expect(out).toMatch(/ {2}rule one place: it is on a free list and on a free list\n/);
    expect(out).toMatch(/ {2}page frame \d+, its words say buddy, order 5 from frame \d+\n/);
    expect(out).not.toContain("never");
  });

  it("a rule broken between steps is seen at the next one, or at the end", () => {
    const twice = `const p = m.allocPages(5); m.freePages(p, 5); m.freePages(p, 5);`;
    expect(run(twice)).toMatchObject({ code: 1 });
    const { out } = run(`${twice} s.step("innocent", () => 1); s.step("never", () => 1);`);
    expect(out).toContain("today: BROKEN RULE\n  at   step 1, innocent\n");
  });

  it("a refusal that nobody expected is 1, one that was expected is 0", () => {
    expect(run(`s.refused("ENOMEM", () => m.allocFolio(11, T_FILE));`).code).toBe(0);
    const { code, out } = run(`s.refused("EINVAL", () => m.allocFolio(11, T_FILE));`);
    expect(code).toBe(1);
    expect(out).toContain("expected a refusal with EINVAL: ENOMEM");
    expect(run(`s.refused("ENOMEM", () => m.allocFolio(1, T_FILE));`).code).toBe(1);
  });

  it("alike in several designs is told once", () => {
    const { code, out } = run(
      `s.step("a folio", () => 1); s.expect("two is three", 2, 3);`,
      "--design",
      "today,page32,memdesc16,page64+separated=page-table",
    );
    expect(code).toBe(1);
    expect(out).toContain("\nA–D: NO\n  after step 1, a folio\n");
    expect(out.match(/two is three: expected 3, it is 2/g)).toHaveLength(1);
    expect(out).not.toContain("WHERE THEY DIFFER");
  });

  it("at another frame in each design is told once all the same", () => {
    const { out } = run(
      `m.allocFolio(0, T_FILE); s.kernel.createProcess(); s.step("a", () => 1);`,
      "--design=today,memdesc8",
    );
    expect(out).toContain("\ntoday, memdesc8: BROKEN RULE\n");
    expect(out).toContain("\n  frames are those of today\n");
  });

  it("says nothing in place of what a run would have found", () => {
    const { out } = run(
      `if (s.design !== "today") s.expect("today", false);
       s.finding("same", 1); s.finding("late", s.design);`,
      "--design=today,memdesc8",
    );
    const differ = out.slice(out.indexOf("WHERE THEY DIFFER"));
    expect(differ).not.toMatch(/^(same|late)$/m);
    expect(differ).toContain("outcome\n  today: ok\n  memdesc8: no: expected: today\n");
  });

  it("in one of two designs is 1, and both are told", () => {
    const { code, out } = run(`s.expect("8 B", m.design.pageBytes, 8);`, "--design=today,memdesc8");
    expect(code).toBe(1);
    expect(out).toMatch(/outcome\n {2}today: no: 8 B: expected 8, it is 64\n {2}memdesc8: ok\n/);
  });
});

describe("what cannot be done", () => {
  function expectRefusal(ran: Ran, ...words: string[]): void {
    expect(ran.err).toSatisfy(isOneLine);
    for (const word of words) expect(ran.err).toContain(word);
    expect(ran.code).toBe(2);
  }

  it.each([
    ["a syntax error", "\nconst a: number = ;\n", "mine.ts:2:19: syntax error"],
    ["what only a compiler can do", "enum A { B }\n", "mine.ts:1:1: syntax error"],
    ["a name declared twice", "let a = 1;\nlet a = 2;\n", "mine.ts:2:5: syntax error"],
    [
      "a file that is not there",
      'import "./none.js";\n',
      "mine.ts:1:8: the import leads to no file",
    ],
    [
      "a package that is not there",
      '\nimport a from "nonesuch";\n',
      'mine.ts:2:15: there is no package "nonesuch"',
    ],
    ["a name that memdesc lacks", 'import { Nope } from "memdesc";\n', "mine.ts:1:10: "],
    ["a throw", '\n\nthrow new RangeError("boo");\n', "mine.ts:3:7: RangeError: boo"],
    ["no default export", "export const a = 1;\n", "mine.ts: it has no default export"],
    ["another default export", "export default 5;\n", "mine.ts: a scenario is an object"],
    ["no run", 'export default { name: "a", about: "b" };\n', "has a function run"],
    [
      "a machine that cannot be",
      'export default { name: "a", about: "b", run() {}, machine: { memory: "1TiB" } };\n',
      "memory is 8 MiB … 4 GiB",
    ],
  ])("%s is one line with place and reason, and nothing on stdout", (_name, text, line) => {
    const ran = memdesc(["run", file("mine.ts", text), "--design", "today,memdesc8"]);
    expectRefusal(ran, line);
    expect(ran.out).toBe("");
  });

  it("a mistake in a file that the scenario imports is placed in that file", () => {
    const dir = scratch();
    file("helper.ts", "export const a: number = 1;\nlet b; let b;\n", dir);
    const path = file("mine.ts", 'import { a } from "./helper.js";\nexport default a;\n', dir);
    expectRefusal(memdesc(["run", path]), "helper.ts:2:12: syntax error");
  });

  it.each([
    [["run"], "--list"],
    [["run", "nonesuch"], "nonesuch"],
    [["run", "/tmp"], "no file"],
    [["run", "--list", "folio-life"], "--list"],
    [["run", "folio-life", "--timeout", "0"], "seconds"],
    [["run", "folio-life", "--design", "foo"], '--design: no design is called "foo"'],
  ])("memdesc %j is one line about %j", (args, word) => {
    expectRefusal(memdesc(args), word);
  });

  it("an endless step is stopped, named, and what came before it is told", () => {
    const { code, out, err } = run(
      `s.step("one", () => 1); s.step("for ever", () => { for (;;); });`,
      "--timeout",
      "3",
    );
    expect(code).toBe(2);
    expect(err).toSatisfy(isOneLine);
    expect(err).toContain("stopped at step 2 (for ever): it was not done after 3 s (--timeout)");
    expect(out).toContain(" 1  one\n");
  });

  it.each([
    ["an endless file", "for (;;);\n", "not done after 5 s"],
    ["a wait for nothing", "await new Promise(() => {});\n", "waits for something"],
    ["process.exit", "process.exit(0);\n", "process.exit(0)"],
  ])("%s is stopped too", (_name, text, line) => {
    const ran = memdesc(["run", file("mine.ts", `${text}export default 1;`), "--timeout", "5"]);
    expectRefusal(ran, "stopped", line);
  });

  it.each([
    [
      "a mistake in a step",
      `s.step("bad", () => { throw new TypeError("oh"); });`,
      "mine.ts:2:29: ",
    ],
    ["an asynchronous step", `s.step("bad", async () => 1);`, "awaits nothing"],
    ["a step in a step", `s.step("bad", () => s.step("in", () => 1));`, "inside step"],
    ["a step that is never finished", `s.step("bad", () => 1, { unfinished: true });`, "finishes"],
    ["too many remarks", `for (;;) s.note("x");`, "use repeat"],
    ["a frame that is not there", `s.show("x", [2 ** 30]);`, "there is no frame"],
  ])("%s is one line, with the report before it", (_name, body, line) => {
    const ran = run(body);
    expectRefusal(ran, "failed", line);
    expect(ran.out).toContain("today: FAILED");
  });

  it("Ctrl-C leaves at once, without a word", () => {
    const path = scenario(`s.step("for ever", () => { for (;;); });`);
    const line = `$MEMDESC run ${path} & sleep 1; kill -INT $!; wait $!; echo $?`;
    expect(shell(line)).toMatchObject({ out: "130\n", err: "" });
  });
});

describe("--json", () => {
  const schema = JSON.parse(readFileSync(join(ROOT, "docs/run.schema.json"), "utf8"));

  it.each([
    [
      "of a run with everything in it",
      `s.step("a", () => m.allocFolio(2, T_FILE)); s.repeat("b", 3, () => m.allocPages(0)); s.show("c", [1]); s.note("d"); s.finding("e", null); s.expect("f", true); s.refused("ENOMEM", () => -12); s.expect("g", 1, 2);`,
      1,
    ],
    ["of a broken rule", `s.step("a", () => { m.freePages(1, 0); });`, 1],
    ["of a mistake", `s.step("a", () => { throw 5; });`, 2],
  ])("%s is as docs/run.schema.json describes", (_name, body, code) => {
    const ran = run(body, "--json", "--design", "today,memdesc8");
    expect(ran.code).toBe(code);
    expect(disagreements(JSON.parse(ran.out), schema)).toEqual([]);
  });
});
