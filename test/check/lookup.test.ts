/**
 * The lookup protocol, every interleaving of a lookup with free and reuse, on the
 * engine's own functions: what the whole protocol guarantees in each design, and
 * what goes wrong without each of its steps.
 *
 * Merging mode throughout: thread B alone makes 60 to 500 accesses, so that the
 * executions (10^7 to 10^16) can be counted but not be walked one by one.
 */
import { describe, expect, it } from "vitest";
import { explore } from "../../src/check/explorer.js";
import { formatCounterexample, formatVerdict } from "../../src/check/lanes.js";
import { lookupProgram, type LookupFaults, type Reuse } from "../../src/check/lookup-protocol.js";
import type { Program, Verdict } from "../../src/check/program.js";
import { parseDesign } from "../../src/engine/design/presets.js";
import { T_ANON, T_FILE, T_PGTABLE } from "../../src/engine/design/word/axis-types.js";
import { Machine } from "../../src/engine/machine.js";
import { folioOf, pfnOfFolio, putFolioRef, tryGetFolio } from "../../src/engine/pages/lookup.js";
import { CheckedWords } from "../../src/engine/words/checked.js";
import { PlainWords } from "../../src/engine/words/plain.js";
import { bytes } from "../../src/units.js";

/** Designs whose owner word is a tagged pointer, and those whose descriptor is the page itself. */
const TAGGED = ["memdesc8", "memdesc16", "page32"];
const OVERLAY = ["slot64", "today"];
const DESIGNS = [...TAGGED, ...OVERLAY];
const REUSES: readonly Reuse[] = ["folio", "page-table", "slab", "descriptor-page"];

function verdictOf(design: string, reuse: Reuse, faults: LookupFaults = {}): Verdict | null {
  const program = lookupProgram(parseDesign(design), reuse, faults);
  return program === null ? null : explore(program);
}

/** Every combination of a design and a reuse that exists in it. */
const CASES = DESIGNS.flatMap((design) =>
  REUSES.filter((reuse) => reuse !== "descriptor-page" || TAGGED.includes(design)).map(
    (reuse) => [design, reuse] as const,
  ),
);
const inCases = (designs: readonly string[], ...reuses: Reuse[]): (readonly [string, Reuse])[] =>
  CASES.filter(([design, reuse]) => designs.includes(design) && reuses.includes(reuse));

describe("the whole protocol holds under every interleaving", () => {
  it.each(CASES)("%s, reuse as %s", (design, reuse, ...rest) => {
    expect(rest).toEqual([]);
    const verdict = verdictOf(design, reuse);
    expect(verdict).toMatchObject({
      kind: "complete",
      reason: "",
      model: "SC",
      counterexample: null,
    });
    // Lookups that got the folio, that found it dying, and that found another owner all occur.
    expect(verdict?.ends).toBeGreaterThan(5);
    expect(verdict?.executions).toBeGreaterThan(10n ** 7n);
    expect(verdict?.states).toBeLessThan(20_000);
  });

  it.each(OVERLAY)(
    "%s has no descriptor page to give back: counts lie in the page array, which stays",
    (design) => {
      expect(verdictOf(design, "descriptor-page")).toBeNull();
    },
  );
});

describe("without the second read of the owner", () => {
  const wrong = [
    ...inCases(DESIGNS, "folio"),
    ...inCases(OVERLAY, "page-table"),
    ...inCases(["slot64"], "slab"),
  ];

  it.each(wrong)(
    "%s, reuse as %s: a lookup holds what the page does not belong to",
    (design, reuse) => {
      const verdict = verdictOf(design, reuse, { skipRecheck: true });
      expect(verdict?.kind).toBe("stopped");
      expect(verdict?.reason).toMatch(/^A holds a folio that page \d+ does not belong to$/);
    },
  );

  it.each(inCases(TAGGED, "page-table", "slab", "descriptor-page"))(
    "%s, reuse as %s: nothing goes wrong, the descriptor's count stays 0 until it is a folio's again",
    (design, reuse) => {
      expect(verdictOf(design, reuse, { skipRecheck: true })?.kind).toBe("complete");
    },
  );

  it("today, reuse as slab: nothing goes wrong, slab pages are frozen (their count is 0)", () => {
    expect(verdictOf("today", "slab", { skipRecheck: true })?.kind).toBe("complete");
  });

  it("the schedule is shown: the descriptor becomes another page's folio between read and get", () => {
    const verdict = verdictOf("memdesc8", "folio", { skipRecheck: true });
    if (verdict === null || verdict.counterexample === null) throw new Error("no counterexample");
    const lines = formatCounterexample(verdict.counterexample, verdict.threads);
    expect(
      Math.max(
        ...lines
          .join("\n")
          .split("\n")
          .map((l) => l.length),
      ),
    ).toBeLessThanOrEqual(80);
    const told = verdict.counterexample.schedule.map(
      (s) => `${"AB"[s.thread]} ${s.made.access.kind} ${s.place}`,
    );
    const at = (what: string): number => told.indexOf(what);
    const counted = told.lastIndexOf("B store32 folio#0 refcount");
    expect(at("A load64 page 512 memdesc")).toBeLessThan(at("B add32 folio#0 refcount"));
    expect(at("B add32 folio#0 refcount")).toBeLessThan(at("B store64 page 512 memdesc"));
    expect(at("B store64 page 512 memdesc")).toBeLessThan(counted);
    expect(counted).toBeLessThan(at("A cas32 folio#0 refcount"));
  });
});

describe("without the read section", () => {
  it.each(inCases(TAGGED, "descriptor-page"))(
    "%s, reuse as %s: the count is taken in another type's memory",
    (design, reuse) => {
      const verdict = verdictOf(design, reuse, { noReadSection: true });
      expect(verdict?.kind).toBe("stopped");
      expect(verdict?.reason).toBe(
        "type confusion: A took a reference in a descriptor of page-table",
      );
    },
  );

  it.each([
    ...inCases(TAGGED, "folio", "page-table", "slab"),
    ...inCases(OVERLAY, "folio", "page-table", "slab"),
  ])(
    "%s, reuse as %s: nothing goes wrong while descriptors stay descriptors of their type",
    (design, reuse) => {
      expect(verdictOf(design, reuse, { noReadSection: true })?.kind).toBe("complete");
    },
  );
});

describe("other steps", () => {
  it.each(CASES)(
    "%s, reuse as %s: taking a reference on a count of zero goes wrong",
    (design, reuse) => {
      expect(verdictOf(design, reuse, { getWithoutZeroCheck: true })?.kind).toBe("stopped");
    },
  );

  it.each(TAGGED)(
    "%s: a put that may free, inside a read section, deadlocks with a grace period under the lock",
    (design) => {
      const verdict = verdictOf(design, "descriptor-page", { putInSection: true });
      expect(verdict?.reason).toBe("deadlock: A: lookup, B: free and reuse wait forever");
    },
  );

  it("the verdict line says threads, pages, states, executions, memory model", () => {
    const verdict = verdictOf("memdesc8", "folio");
    expect(verdict === null ? "" : formatVerdict(verdict)).toMatch(
      /^complete: 2 threads, 1 page, \d+ states, \d+ ends, \d+ executions, \d+ steps, merging, SC$/,
    );
  });
});

/** A machine of one pageblock pair on plain or checked words. */
function machineOf(
  design: string,
  words = (n: number): PlainWords | CheckedWords => new PlainWords(bytes(n)),
): Machine {
  const zone = { node: 0, type: 1, start: 0, spanned: 1024, min: 0, low: 0, high: 0, reserve: 0 };
  const config = {
    frames: 1024,
    zones: [zone],
    present: [{ start: 0, end: 1024 }],
    cpus: 2,
    pcp: [{ high: 500, batch: 1 }],
  };
  const machine = Machine.boot(config, parseDesign(design), words);
  machine.giveRange(0, 1024);
  return machine;
}

describe("naive and merging agree on the engine's own lookup", () => {
  it.each(TAGGED)("%s: two lookups of one folio", (design) => {
    let words = new CheckedWords(new PlainWords(bytes(0)));
    const machine = machineOf(design, (n) => (words = new CheckedWords(new PlainWords(bytes(n)))));
    const page = machine.allocFolio(0, T_FILE);
    const run = (cpu: number) => (): number => {
      const folio = tryGetFolio(machine, cpu, page);
      if (folio !== 0) putFolioRef(machine, folio);
      return folio;
    };
    const program: Program = {
      words,
      threads: [0, 1].map((cpu) => ({ name: `lookup on cpu ${cpu}`, run: run(cpu) })),
      pages: [page],
      finalCheck: (folios) =>
        folios.every((f) => f === machine.design.descriptorOf(page))
          ? null
          : "a lookup found nothing",
    };
    const naive = explore(program, { mode: "naive" });
    const merging = explore(program);
    expect(naive.kind).toBe("complete");
    expect(merging.kind).toBe("complete");
    expect(merging.executions).toBe(naive.executions);
    // Seven accesses each without a retry; a lost compare-and-swap adds two.
    expect(naive.executions).toBeGreaterThan(3432n);
  });
});

describe.each(DESIGNS)("%s, one thread", (design) => {
  it.each([0, 3])(
    "a reference on any page of an order-%i folio is one on the folio, and the last put frees it",
    (order) => {
      const machine = machineOf(design);
      const head = machine.allocFolio(order, T_ANON);
      const page = head + 2 ** order - 1;
      const folio = tryGetFolio(machine, 0, page);
      expect(folio).toBe(folioOf(machine, head));
      expect(pfnOfFolio(machine, folio)).toBe(head);
      expect(machine.w.load32(folio, machine.design.folio.refcount)).toBe(2);
      machine.putFolio(head);
      expect(folioOf(machine, page)).toBe(folio);
      putFolioRef(machine, folio);
      expect(folioOf(machine, page)).toBe(0);
      expect(tryGetFolio(machine, 0, page)).toBe(0);
      expect(machine.rcu.isQuiet()).toBe(true);
    },
  );

  it("a page that is no folio has none", () => {
    const machine = machineOf(design);
    const table = machine.allocTyped(0, T_PGTABLE);
    expect(folioOf(machine, table)).toBe(0);
    expect(tryGetFolio(machine, 0, table)).toBe(0);
    expect(folioOf(machine, machine.allocPages(0))).toBe(0);
  });
});
