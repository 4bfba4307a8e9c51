/**
 * Runs a scenario on one machine and writes down what happens: the other side of
 * {@link ScenarioContext}.
 *
 * A step is measured in words (cache lines, objects of descriptor caches, bytes
 * of slabs), never in time, so two runs of a scenario say the same. The first
 * thing that goes wrong decides the outcome and ends the scenario; an error that
 * a scenario catches itself is no such thing, a broken rule or an expectation
 * that does not hold is one even then.
 */
import { MmError, RuleViolation, SignalError } from "../engine/errors.js";
import { DesignError, type Design } from "../engine/design/presets.js";
import type { Devices } from "../engine/device/devices.js";
import type { Machine } from "../engine/machine.js";
import type { Kernel } from "../engine/process/kernel.js";
import {
  OK,
  RULES_SHOWN,
  type Entry,
  type Happening,
  type Lines,
  type Outcome,
  type Remark,
  type Totals,
  type Traffic,
  type Verdict,
} from "./record.js";
import {
  ScenarioError,
  type Scenario,
  type ScenarioContext,
  type StepOptions,
  type Value,
} from "./scenario.js";
import { holderOf, shown } from "./show.js";
import { namerOf } from "../check/places.js";
import { runThreads, type ThreadEvent } from "./threads.js";
import { stepRecord, type StepInProgress } from "./step.js";
import { bootSubject, brokenRules, readingOf, type Reading, type Subject } from "./subject.js";

/** Entries that one run may have: a timeline that nobody can read is a mistake. */
const ENTRIES_MAX = 10_000;
const REPEAT_MAX = 1_000_000;

/** Thrown to leave a scenario once its outcome is known. */
class ScenarioEnd extends Error {
  override readonly name = "ScenarioEnd";
}

/** Where in the scenario's file an error came from, `file:line:column`; null where unknown. */
export type Locate = (error: unknown) => string | null;

/** Runs the scenario to its end, whatever that is. Never throws. */
export async function narrate(
  scenario: Scenario,
  design: Design,
  tell: (happening: Happening) => void,
  locate: Locate = () => null,
): Promise<Outcome> {
  let narrator: Narrator;
  try {
    narrator = new Narrator(bootSubject(scenario.machine ?? {}, design), tell, locate);
  } catch (error) {
    return { ...OK, verdict: "refused", why: messageOf(error) };
  }
  try {
    await scenario.run(narrator);
    narrator.finish();
  } catch (error) {
    narrator.blame(error);
  }
  tell({ is: "totals", totals: narrator.totals() });
  return narrator.outcome;
}

class Narrator implements ScenarioContext {
  readonly design: string;
  readonly machine: Machine;
  readonly kernel: Kernel;
  outcome: Outcome = OK;
  readonly #subject: Subject;
  readonly #tell: (happening: Happening) => void;
  readonly #locate: Locate;
  readonly #booted: Reading;
  /** Descriptors that came and went in steps. */
  #inSteps: Traffic = { allocated: 0, freed: 0 };
  /** What was thrown in a step last. */
  #thrown: unknown = null;
  #open: StepInProgress | null = null;
  #steps = 0;
  #entries = 0;
  #last: string | null = null;
  #unfinished = false;

  constructor(subject: Subject, tell: (happening: Happening) => void, locate: Locate) {
    this.#subject = subject;
    this.machine = subject.machine;
    this.kernel = subject.kernel;
    this.design = subject.machine.choice.name;
    this.#tell = tell;
    this.#locate = locate;
    this.#booted = readingOf(subject);
  }

  get devices(): Devices {
    const { devices } = this.#subject;
    if (devices !== null) return devices;
    throw new ScenarioError("the scenario's machine asks for no device: machine: { device: {} }");
  }

  step<T>(what: string, does: () => T, options: StepOptions = {}): T {
    const results: T[] = [];
    this.#take(what, 1, () => (results[0] = does()), options);
    return results[0];
  }

  repeat(
    what: string,
    times: number,
    does: (index: number) => void,
    options: StepOptions = {},
  ): void {
    if (!Number.isInteger(times) || times < 1 || times > REPEAT_MAX) {
      throw new ScenarioError(`repeat "${what}": times is 1 … 1,000,000, not ${times}`);
    }
    this.#take(what, times, does, options);
  }

  threads(
    what: string,
    threads: Readonly<Record<string, () => void>>,
    options: StepOptions = {},
  ): void {
    const { words, kernel } = this.#subject;
    const name = namerOf(this.machine, new Map());
    const said = ({ thread, what: does, wait }: ThreadEvent): string =>
      wait === null ? `${thread} ${does}` : `${thread} waits for ${waitedFor(name(wait))}`;
    const does = (): void => {
      const { events, stuck } = runThreads(words, kernel.base.core.content, threads);
      for (const event of events) this.note(said(event));
      if (stuck.length > 0)
        this.#end("no", `nobody wakes them: ${stuck.map((e) => said(e)).join("; ")}`);
    };
    this.#take(what, 1, does, options);
  }

  show(title: string, pages: Iterable<number> = []): void {
    this.#say(shown(this.#subject, title, pages));
  }

  note(text: string): void {
    this.#say({ is: "note", text: String(text) });
  }

  finding(what: string, value: Value): void {
    this.#say({ is: "finding", what, value });
  }

  expect(what: string, actual: Value, ...expected: readonly [] | readonly [Value]): void {
    if (expected.length === 0) {
      this.#say({ is: "expect", what, holds: actual === true });
      if (actual !== true) this.#end("no", `expected: ${what}`);
      return;
    }
    const [wanted] = expected;
    const holds = Object.is(actual, wanted);
    this.#say({ is: "expect", what, holds, actual, expected: wanted });
    if (!holds) this.#end("no", `${what}: expected ${text(wanted)}, it is ${text(actual)}`);
  }

  refused(code: string, does: () => unknown): void {
    const { got, said } = refusalOf(does);
    const holds = got === code;
    this.#say({ is: "refused", expected: code, holds, said });
    if (!holds) this.#end("no", `expected a refusal with ${code}: ${said}`);
  }

  /** After `run`: what was done outside of steps is checked too. */
  finish(): void {
    if (this.outcome.verdict !== "ok") return;
    if (this.#unfinished) {
      const why = "the last step says unfinished, and no step finishes it";
      throw new ScenarioError(why);
    }
    this.#checkRules(true);
  }

  /** The outcome of an error that left `run`. The first trouble counts. */
  blame(error: unknown): void {
    if (this.outcome.verdict !== "ok") return;
    const between = error !== this.#thrown;
    if (error instanceof RuleViolation) this.#setBroken([error], between);
    else {
      const refused = [MmError, SignalError, DesignError].some((kind) => error instanceof kind);
      const verdict = refused ? "refused" : "failed";
      this.#setOutcome(verdict, messageOf(error), this.#locate(error), between);
    }
  }

  /** From boot to now. */
  totals(): Totals {
    const now = readingOf(this.#subject);
    const descriptors = trafficOf(this.#booted, now, this.machine.design.caches.length);
    const { allocated, freed } = this.#inSteps;
    return {
      metadata: { before: metadataOf(this.#booted), after: metadataOf(now) },
      descriptors,
      outside: {
        allocated: descriptors.allocated - allocated,
        freed: descriptors.freed - freed,
      },
    };
  }

  #take(
    what: string,
    operations: number,
    does: (index: number) => unknown,
    options: StepOptions,
  ): void {
    if (this.#open !== null) {
      throw new ScenarioError(`step "${what}" is inside step "${this.#open.what}"`);
    }
    const number = ++this.#steps;
    this.#last = what;
    this.#tell({ is: "begun", number, what });
    const before = readingOf(this.#subject);
    this.#open = { number, what, operations, before, said: [] };
    try {
      this.#close(this.#open, this.#measure(operations, does));
    } catch (error) {
      if (this.#open !== null) this.#close(this.#open, null);
      this.#thrown = error;
      throw error;
    }
    this.#unfinished = options.unfinished === true;
    if (!this.#unfinished) this.#checkRules();
  }

  #measure(operations: number, does: (index: number) => unknown): Lines {
    const sum = { read: 0, written: 0, touched: 0 };
    for (let i = 0; i < operations; i++) {
      const lines = this.#subject.words.measure(() => {
        if (isPromise(does(i))) throw new ScenarioError("a step awaits nothing: await before it");
      });
      sum.read += lines.read;
      sum.written += lines.written;
      sum.touched += lines.touched;
    }
    return sum;
  }

  #close(open: StepInProgress, lines: Lines | null): void {
    this.#open = null;
    const after = readingOf(this.#subject);
    const { allocated, freed } = trafficOf(open.before, after, this.machine.design.caches.length);
    this.#inSteps = {
      allocated: this.#inSteps.allocated + allocated,
      freed: this.#inSteps.freed + freed,
    };
    this.#write(stepRecord(open, after, lines, this.machine));
  }

  #say(remark: Remark): void {
    if (this.#open === null) this.#write(remark);
    else {
      this.#countEntry();
      this.#open.said.push(remark);
    }
  }

  #write(entry: Entry): void {
    this.#countEntry();
    this.#tell({ is: "entry", entry });
  }

  #countEntry(): void {
    if (++this.#entries <= ENTRIES_MAX) return;
    throw new ScenarioError(
      `more than ${ENTRIES_MAX} steps and remarks: use repeat for what is done often`,
    );
  }

  #checkRules(between = false): void {
    const broken = brokenRulesOrRing(this.#subject);
    if (broken.length === 0) return;
    this.#setBroken(broken, between);
    throw new ScenarioEnd();
  }

  #setBroken(broken: readonly RuleViolation[], between: boolean): void {
    const [first] = broken;
    this.#setOutcome("broken-rule", first.message, null, between, broken);
  }

  #end(verdict: Verdict, why: string): never {
    const here = new ScenarioEnd();
    this.#setOutcome(verdict, why, this.#locate(here), this.#open === null);
    throw here;
  }

  #setOutcome(
    verdict: Verdict,
    why: string,
    place: string | null,
    between: boolean,
    broken: readonly RuleViolation[] = [],
  ): void {
    if (this.outcome.verdict !== "ok") return;
    this.outcome = {
      verdict,
      step: this.#steps === 0 ? null : this.#steps,
      between,
      what: this.#last,
      why,
      place,
      broken: broken.slice(0, RULES_SHOWN).map(({ rule, pfn, message }) => ({
        rule,
        pfn,
        detail: message.slice(message.indexOf(`frame ${pfn}: `) + `frame ${pfn}: `.length),
        holder: holderOf(this.machine, pfn),
      })),
      violations: broken.length,
    };
  }
}

/** Named alike in every design: a folio's flags are in its page or in a descriptor. */
const waitedFor = (place: string): string =>
  /^(page \d+ (flags|storage)|.*folio#\d+ )/.test(place) ? "a folio's flags" : place;

/** A list that never ends makes looking itself throw: that is a broken rule as well. */
function brokenRulesOrRing(subject: Subject): RuleViolation[] {
  try {
    return brokenRules(subject);
  } catch (error) {
    if (error instanceof RuleViolation) return [error];
    throw error;
  }
}

const metadataOf = ({ metadata }: Reading): number =>
  [...metadata.values()].reduce((sum, bytes) => sum + bytes, 0);

/** Of the first `caches` caches: those of descriptors. */
function trafficOf(before: Reading, after: Reading, caches: number): Traffic {
  const sum = (of: (reading: Reading) => readonly number[]): number =>
    of(after)
      .slice(0, caches)
      .reduce((n, count, cache) => n + count - of(before)[cache], 0);
  return { allocated: sum((r) => r.allocated), freed: sum((r) => r.freed) };
}

/** What the engine answered: the name of the errno or signal, or an empty one for no refusal. */
function refusalOf(does: () => unknown): { readonly got: string; readonly said: string } {
  try {
    const result = does();
    if (typeof result !== "number" || !Number.isInteger(result) || result >= 0) {
      return { got: "", said: "it was not refused" };
    }
    const { code } = new MmError(-result, "", "");
    return { got: code, said: code };
  } catch (error) {
    if (error instanceof SignalError) return { got: error.signal, said: error.message };
    if (!(error instanceof MmError)) throw error;
    return { got: error.code, said: error.message };
  }
}

const messageOf = (error: unknown): string => {
  if (!(error instanceof Error)) return `threw ${text(String(error))}`;
  const named = [MmError, SignalError, DesignError, ScenarioError].some((k) => error instanceof k);
  return named ? error.message : `${error.name}: ${error.message}`;
};

const text = (value: Value): string =>
  typeof value === "string" ? JSON.stringify(value) : String(value);

const isPromise = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "then" in value;
