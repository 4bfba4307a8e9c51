/**
 * The enumerate-everything explorer: runs threads in every order of their word
 * accesses, under sequential consistency.
 *
 * It is meant to be obviously right rather than fast: later checkers that skip
 * equivalent orders are measured against its counts. A thread that waits
 * (await32, awaitChange32) may run only while its word has, or has not, the value; if nobody may run and
 * somebody has not ended, that is a deadlock. Naive mode walks every execution;
 * merging mode walks every state once and adds up how many executions go through
 * it. What each thread has seen is part of a state, so a state has one length,
 * the graph has no cycles, and the first schedule shorter than the best one
 * found so far is all that is still of interest after a violation.
 */
import { NotRepeatable, type Access, type Logged } from "../engine/words/checked.js";
import {
  Violation,
  type Counterexample,
  type Limits,
  type Mode,
  type Program,
  type ScheduleStep,
  type Verdict,
} from "./program.js";
import { TrackedMemory } from "./tracked-memory.js";

/** Accesses in one execution beyond which nothing is followed: the explorer recurses once for each. */
const LONGEST = 2000;

export interface ExploreOptions {
  readonly mode?: Mode;
  readonly limits?: Limits;
  /** Asked now and then; true ends the exploration. */
  readonly interrupted?: () => boolean;
}

/** Explores a program. Memory is afterwards as it was before. */
export function explore(program: Program, options: ExploreOptions = {}): Verdict {
  return new Explorer(program, options).verdict();
}

/** A state that was visited: its memory, and the executions that go on from it. */
interface Visited {
  readonly difference: Int32Array;
  readonly executions: bigint;
}

class Explorer {
  readonly #program: Program;
  readonly #mode: Mode;
  readonly #limits: Required<Limits>;
  readonly #interrupted: () => boolean;
  readonly #memory: TrackedMemory;
  readonly #logs: Logged[][];
  readonly #next: (Access | null)[];
  readonly #results: number[];
  /** For each thread the number of its history; equal histories have equal numbers. */
  readonly #history: number[];
  readonly #histories = new Map<string, number>();
  readonly #visited = new Map<string, Visited[]>();
  readonly #path: number[] = [];
  #steps = 0;
  #states = 0;
  #ends = 0;
  #bound = "";
  #stopped = false;
  #best: readonly number[] | null = null;
  #rule = "";

  constructor(program: Program, options: ExploreOptions) {
    this.#program = program;
    this.#mode = options.mode ?? "merging";
    const { length = LONGEST, steps = Infinity, states = Infinity } = options.limits ?? {};
    this.#limits = { length: Math.min(length, LONGEST), steps, states };
    this.#interrupted = options.interrupted ?? (() => false);
    this.#memory = new TrackedMemory(program.words.memory.mem);
    this.#logs = program.threads.map(() => []);
    this.#next = program.threads.map(() => null);
    this.#results = program.threads.map(() => 0);
    this.#history = program.threads.map(() => 0);
  }

  verdict(): Verdict {
    for (const t of this.#program.threads.keys()) this.#advance(t, 0);
    const executions = this.#rule === "" ? this.#explore() : 0n;
    const broken = this.#best !== null;
    return {
      kind: broken || this.#stopped ? "stopped" : this.#bound === "" ? "complete" : "bounded",
      reason: broken ? this.#rule : this.#stopped ? "interrupted" : this.#bound,
      mode: this.#mode,
      model: "SC",
      threads: this.#program.threads.map((t) => t.name),
      pages: this.#program.pages,
      steps: this.#steps,
      states: this.#states,
      ends: this.#ends,
      executions,
      counterexample: this.#counterexample(),
    };
  }

  /** Runs thread `t` by its next access (`grant` 1) or to its first one (0). False where it broke a rule. */
  #advance(t: number, grant: 0 | 1): boolean {
    const thread = this.#program.threads[t];
    let made: Logged | null;
    try {
      const out = this.#program.words.resume(thread.run, this.#logs[t], grant);
      made = out.made;
      this.#next[t] = out.next;
      if (out.result instanceof Violation) return this.#found(out.result.rule, made, t);
      if (out.result !== undefined) this.#results[t] = out.result;
    } catch (error) {
      if (error instanceof NotRepeatable) throw error;
      return this.#found(
        `${thread.name} failed: ${error instanceof Error ? error.message : String(error)}`,
        null,
        t,
      );
    }
    if (made === null) return true;
    this.#logs[t].push(made);
    const rule = this.#program.watch?.(t, made) ?? null;
    return rule === null || this.#found(rule, null, t);
  }

  /** A broken rule at the end of the path walked so far. */
  #found(rule: string, made: Logged | null, t: number): false {
    if (made !== null) this.#logs[t].push(made);
    if (this.#best === null || this.#path.length < this.#best.length) {
      this.#best = [...this.#path];
      this.#rule = rule;
    }
    return false;
  }

  /** Everything from the present state on; how many executions that is. */
  #explore(): bigint {
    const enabled = this.#enabled();
    if (enabled.length === 0) return this.#end();
    if (this.#isOver()) return 0n;
    if (this.#mode === "naive") {
      this.#states++;
      return this.#branch(enabled);
    }
    const key = `${this.#history.join()}|${this.#memory.hash}`;
    const same = this.#visited.get(key) ?? [];
    const seen = same.find((v) => this.#memory.equals(v.difference));
    if (seen !== undefined) return seen.executions;
    this.#states++;
    const difference = this.#memory.difference();
    const executions = this.#branch(enabled);
    same.push({ difference, executions });
    this.#visited.set(key, same);
    return executions;
  }

  #isOver(): boolean {
    if (this.#stopped) return true;
    if ((this.#steps & 1023) === 0 && this.#interrupted()) this.#stopped = true;
    if (this.#steps >= this.#limits.steps) this.#bound = `${this.#limits.steps} steps made`;
    else if (this.#states >= this.#limits.states)
      this.#bound = `${this.#limits.states} states visited`;
    else if (this.#path.length >= this.#limits.length)
      this.#bound = `an execution of ${this.#limits.length} accesses`;
    else return this.#stopped || (this.#best !== null && this.#path.length >= this.#best.length);
    return true;
  }

  /** Threads that may run, the one that ran last first: counterexamples then switch less. */
  #enabled(): number[] {
    const last = this.#path.at(-1) ?? 0;
    const enabled: number[] = [];
    for (let i = 0; i < this.#next.length; i++) {
      const t = (last + i) % this.#next.length;
      const next = this.#next[t];
      if (next !== null && this.#mayRun(next)) enabled.push(t);
    }
    return enabled;
  }

  #mayRun(next: Access): boolean {
    if (next.kind !== "await32" && next.kind !== "awaitChange32") return true;
    const is = this.#program.words.memory.load32(next.ref, next.off);
    return (is === next.value) === (next.kind === "await32");
  }

  /** Nobody may run: all have ended, or those who have not wait for each other. */
  #end(): bigint {
    const waiting = this.#next.flatMap((next, t) =>
      next === null ? [] : [this.#program.threads[t].name],
    );
    if (waiting.length > 0) this.#found(`deadlock: ${waiting.join(", ")} wait forever`, null, 0);
    else {
      const rule = this.#program.finalCheck?.(this.#results) ?? null;
      if (rule !== null) this.#found(rule, null, 0);
    }
    if (this.#mode === "merging" && !this.#isNewEnd()) return 1n;
    this.#states++;
    this.#ends++;
    return 1n;
  }

  #isNewEnd(): boolean {
    const key = `${this.#history.join()}|${this.#memory.hash}`;
    const same = this.#visited.get(key) ?? [];
    if (same.some((v) => this.#memory.equals(v.difference))) return false;
    same.push({ difference: this.#memory.difference(), executions: 1n });
    this.#visited.set(key, same);
    return true;
  }

  #branch(enabled: readonly number[]): bigint {
    let executions = 0n;
    for (const t of enabled) executions += this.#step(t);
    return executions;
  }

  /** Thread `t` makes its next access, everything after that is explored, and the access is undone. */
  #step(t: number): bigint {
    const next = this.#next[t];
    if (next === null) return 0n;
    const history = this.#history[t];
    const made = this.#logs[t].length;
    this.#path.push(t);
    this.#steps++;
    let executions = 1n;
    if (!this.#memory.holds(next)) {
      this.#found(
        `${this.#program.threads[t].name} ${next.kind} outside of memory, at ${next.ref}+${next.off}`,
        null,
        t,
      );
    } else {
      const mark = this.#memory.before(next);
      const fine = this.#advance(t, 1);
      this.#memory.after(mark);
      if (fine) {
        this.#history[t] = this.#historyOf(history, this.#logs[t][made]);
        executions = this.#explore();
      }
      this.#memory.undo(mark);
    }
    this.#logs[t].length = made;
    this.#history[t] = history;
    this.#next[t] = next;
    this.#path.pop();
    return executions;
  }

  /** What a thread does next depends on the answers it got, so these are its history. */
  #historyOf(before: number, made: Logged): number {
    const key = `${before}:${made.lo}:${made.hi}`;
    const known = this.#histories.get(key);
    if (known !== undefined) return known;
    const id = this.#histories.size + 1;
    this.#histories.set(key, id);
    return id;
  }

  /** Walks the best path once more and writes down what happens. */
  #counterexample(): Counterexample | null {
    if (this.#best === null) return null;
    const { threads, words, nameOf } = this.#program;
    const logs: Logged[][] = threads.map(() => []);
    const schedule: ScheduleStep[] = [];
    for (const t of this.#best) {
      const next = words.resume(threads[t].run, logs[t], 0).next;
      if (next === null) break;
      const place = nameOf?.(next) ?? `${next.ref}+${next.off}`;
      if (!this.#memory.holds(next)) {
        schedule.push({ thread: t, made: { access: next, lo: 0, hi: 0 }, place });
        break;
      }
      this.#memory.before(next);
      const made = this.#replayed(t, logs[t], next);
      logs[t].push(made);
      schedule.push({ thread: t, made, place });
    }
    this.#memory.undo(0);
    return { rule: this.#rule, schedule };
  }

  /** One access of the counterexample; the last one may end in the failure that was found. */
  #replayed(t: number, log: readonly Logged[], next: Access): Logged {
    try {
      return (
        this.#program.words.resume(this.#program.threads[t].run, log, 1).made ?? {
          access: next,
          lo: 0,
          hi: 0,
        }
      );
    } catch (error) {
      if (error instanceof NotRepeatable) throw error;
      return { access: next, lo: 0, hi: 0 };
    }
  }
}
