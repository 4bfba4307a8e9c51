/**
 * The narrator measures what the words say, checks the rules after each step, and
 * lets the first trouble decide.
 */
import { describe, expect, it } from "vitest";
import { T_FILE } from "../../src/engine/design/word/axis-types.js";
import { parseDesign } from "../../src/engine/design/presets.js";
import { narrate } from "../../src/scenario/narrator.js";
import type { Entry, Happening, Outcome, Remark, Step, Totals } from "../../src/scenario/record.js";
import { defineScenario, type Scenario } from "../../src/scenario/scenario.js";
import { DESIGNS } from "../engine/machines.js";

interface Told {
  readonly outcome: Outcome;
  readonly totals: Totals | undefined;
  readonly steps: readonly Step[];
  readonly entries: readonly Entry[];
  readonly happenings: readonly Happening[];
}

async function tell(run: Scenario["run"], design = "memdesc8"): Promise<Told> {
  const scenario = defineScenario({ name: "a", about: "b", machine: { memory: "16MiB" }, run });
  const happenings: Happening[] = [];
  const outcome = await narrate(scenario, parseDesign(design), (h) => happenings.push(h));
  const entries = happenings.flatMap((h) => (h.is === "entry" ? [h.entry] : []));
  const totals = happenings.find((h) => h.is === "totals")?.totals;
  return { outcome, totals, entries, happenings, steps: entries.filter((e) => e.is === "step") };
}

describe("a step", () => {
  it("gives back what it did, and counts the lines of that alone", async () => {
    const { steps } = await tell((s) => {
      const pfn = s.step("a folio", () => s.machine.allocFolio(9, T_FILE));
      s.machine.getFolio(pfn);
      s.step("a reference through a tail", () => s.machine.getFolio(pfn + 300));
      s.step("nothing", () => 1);
    });
    // One page word and the folio's descriptor are read, the descriptor is written.
    expect(steps[1].lines).toEqual({ read: 2, written: 1, touched: 2 });
    expect(steps[2]).toMatchObject({ lines: { read: 0, written: 0, touched: 0 }, descriptors: [] });
  });

  it("counts what came and went, not the difference", async () => {
    const { steps } = await tell((s) => {
      s.step("three folios come, two go", () => {
        const [a, b] = [0, 1, 2].map(() => s.machine.allocFolio(0, T_FILE));
        s.machine.putFolio(a);
        s.machine.putFolio(b);
      });
    });
    expect(steps[0].descriptors.find((d) => d.type === "folio")).toMatchObject({
      allocated: 3,
      freed: 2,
    });
    expect(steps[0].freePages.before - steps[0].freePages.after).toBe(1 + 2);
    expect(steps[0].metadata.find((m) => m.kind === "folio descriptors")).toMatchObject({
      before: 0,
      after: 4096,
    });
  });

  it("repeated measures each operation alone and adds up", async () => {
    const { steps } = await tell((s) => {
      const pfn = s.step("a folio", () => s.machine.allocFolio(0, T_FILE));
      s.step("one get", () => s.machine.getFolio(pfn));
      s.repeat("ten gets", 10, () => s.machine.getFolio(pfn));
    });
    const [, one, ten] = steps;
    expect(ten).toMatchObject({
      operations: 10,
      lines: { read: 10 * (one.lines?.read ?? 0), written: 10 * (one.lines?.written ?? 0) },
    });
    expect(one.lines?.read).toBeGreaterThan(0);
  });

  it("holds what is said in it, and what is said between steps stands alone", async () => {
    const { entries } = await tell((s) => {
      s.note("before");
      s.step("a", () => s.note("inside"));
    });
    expect(entries.map((e) => e.is)).toEqual(["note", "step"]);
    expect(entries[1]).toMatchObject({ said: [{ is: "note", text: "inside" }] });
  });

  it("is announced before it begins, so that a watcher knows where it hangs", async () => {
    const { happenings } = await tell((s) => s.step("a", () => undefined));
    expect(happenings.map((h) => h.is)).toEqual(["begun", "entry", "totals"]);
  });
});

describe("the outcome", () => {
  const twice = (s: Parameters<Scenario["run"]>[0]): void => {
    const pfn = s.machine.allocPages(4);
    s.machine.freePages(pfn, 4);
    s.machine.freePages(pfn, 4);
  };

  it.each(DESIGNS)("%s: pages freed twice break a rule, seen after the step", async (design) => {
    const { outcome, steps } = await tell((s) => {
      s.step("fine", () => s.machine.allocFolio(0, T_FILE));
      s.step("twice", () => twice(s));
      s.step("never", () => 1);
    }, design);
    expect(outcome).toMatchObject({ verdict: "broken-rule", step: 2, what: "twice" });
    expect(outcome.broken[0].holder).not.toBe("");
    expect(outcome.violations).toBeGreaterThanOrEqual(outcome.broken.length);
    expect(steps).toHaveLength(2);
  });

  it("an unfinished step is not checked, the one that finishes it is", async () => {
    const { outcome } = await tell((s) => {
      s.step("begun", () => twice(s), { unfinished: true });
      s.step("finished", () => 1);
    });
    expect(outcome).toMatchObject({ verdict: "broken-rule", what: "finished" });
  });

  it.each<[string, Scenario["run"], Outcome["verdict"]]>([
    ["nothing at all", () => {}, "ok"],
    ["an asynchronous run", async (s) => s.note(await Promise.resolve("later")), "ok"],
    ["an expectation that holds", (s) => s.expect("a", "x", "x"), "ok"],
    ["one that does not", (s) => s.expect("a", Number.NaN, 1), "no"],
    ["a truth that is none", (s) => s.expect("a", false), "no"],
    ["a refusal by value", (s) => s.refused("ENOMEM", () => -12), "ok"],
    ["a refusal that does not come", (s) => s.refused("ENOMEM", () => 0), "no"],
    ["another refusal", (s) => s.refused("EBUSY", () => -12), "no"],
    ["a signal", (s) => s.refused("SIGSEGV", () => s.kernel.createProcess().read(0, 1)), "ok"],
    ["another signal", (s) => s.refused("SIGBUS", () => s.kernel.createProcess().read(0, 1)), "no"],
    ["a signal nobody expected", (s) => void s.kernel.createProcess().read(0, 1), "refused"],
    ["a wrong argument", (s) => void s.kernel.createProcess().read(-1, 1), "failed"],
    ["a mistake", () => JSON.parse("{") as void, "failed"],
  ])("of %s", async (_name, run, verdict) => {
    expect((await tell(run)).outcome.verdict).toBe(verdict);
  });

  it("is the first trouble, whatever the scenario catches", async () => {
    const { outcome } = await tell((s) => {
      try {
        s.expect("first", false);
      } catch {
        s.step("second", () => twice(s));
      }
    });
    expect(outcome).toMatchObject({ verdict: "no", why: "expected: first" });
  });
});

describe("what is done outside of steps", () => {
  it("is in the totals, and told apart", async () => {
    const { totals, steps } = await tell((s) => {
      const first = s.machine.allocFolio(0, T_FILE);
      s.step("one more", () => s.machine.allocFolio(0, T_FILE));
      s.machine.putFolio(first);
    });
    const inStep = steps[0].descriptors.reduce((sum, d) => sum + d.allocated, 0);
    expect(inStep).toBe(1);
    expect(totals?.descriptors.allocated).toBe(inStep + (totals?.outside.allocated ?? 0));
    expect(totals?.outside).toMatchObject({ freed: 1 });
    expect(totals?.outside.allocated).toBeGreaterThanOrEqual(1);
    expect(totals?.metadata.after).toBeGreaterThan(totals?.metadata.before ?? 0);
  });

  it("ends a run after the step before it, not in it", async () => {
    const inside = await tell((s) => s.step("a", () => s.show("no such frame", [-1])));
    expect(inside.outcome).toMatchObject({ verdict: "failed", step: 1, between: false });
    const after = await tell((s) => {
      s.step("a", () => 1);
      s.show("no such frame", [-1]);
    });
    expect(after.outcome).toMatchObject({ verdict: "failed", step: 1, between: true });
  });
});

describe("a page that is shown", () => {
  const shown = (entries: readonly Entry[]): Extract<Remark, { is: "show" }> | undefined =>
    entries.find((e) => e.is === "show");

  it.each([...DESIGNS, "memdesc8+page-bits=type"])(
    "%s: is called the same, with its counts and its flags by name",
    async (design) => {
      const { entries } = await tell((s) => {
        const p = s.kernel.createProcess();
        const at = p.mmap({ length: 4096, prot: 3, flags: 0x22 });
        p.write(at, Uint8Array.of(1));
        s.show("an anonymous page", [p.pagemap(at).pfn]);
      }, design);
      expect(shown(entries)?.pages[0]).toMatchObject({
        type: "anon",
        exclusive: true,
        references: 1,
        mapcount: 1,
        pins: 0,
        flags: ["uptodate", "lru", "swapbacked"],
      });
    },
  );
});

describe("a scenario", () => {
  it.each([
    [{ memory: "4MiB" }, "8 MiB"],
    [{ memory: "much" }, "8 MiB"],
    [{ nodes: 0 }, "nodes"],
    [{ cpus: 65 }, "cpus"],
    [{ cpus: 1.5 }, "cpus"],
    [{ policy: { thp: "alwayss" as never } }, "policy.thp is one of"],
  ])("with the machine %j is refused", (machine, word) => {
    const define = (): Scenario => defineScenario({ name: "a", about: "b", machine, run() {} });
    expect(define).toThrow(word);
  });

  it("must have its say in one line", () => {
    expect(() => defineScenario({ name: "a", about: "b\nc", run() {} })).toThrow("one line");
  });
});
