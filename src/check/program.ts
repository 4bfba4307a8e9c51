/**
 * What an explorer explores: threads over checked words, what must hold, and
 * what it answers.
 *
 * A thread is a plain function of the engine that only touches words and its own
 * locals; whatever else it needs (which CPU it is on) it sets itself at its
 * start, because it is run again for every step (see words/checked.ts). A verdict
 * always says how far it reaches: threads, pages, steps, states, executions,
 * memory model, and which limit cut it short.
 */
import type { Access, CheckedWords, Logged } from "../engine/words/checked.js";

/** What a thread returns when it saw a rule broken. */
export class Violation {
  readonly rule: string;
  constructor(rule: string) {
    this.rule = rule;
  }
}

export interface Thread {
  readonly name: string;
  /** Runs the thread; its number is handed to the final check. */
  readonly run: () => number | Violation;
}

export interface Program {
  readonly words: CheckedWords;
  readonly threads: readonly Thread[];
  /** Frames that the threads are about. */
  readonly pages: readonly number[];
  /** Looks at each access right after it was made, with direct access to memory: the rule it breaks, or null. */
  readonly watch?: (thread: number, made: Logged) => string | null;
  /** Once all threads have ended, given what they returned: the rule that does not hold, or null. */
  readonly finalCheck?: (results: readonly number[]) => string | null;
  /** Name of the word that an access is about, while memory is as before it. */
  readonly nameOf?: (access: Access) => string;
}

/**
 * `naive` enumerates every execution on its own; `merging` visits each state once,
 * where a state is memory together with what every thread has seen.
 */
export type Mode = "naive" | "merging";

/** Where an exploration ends at the latest. Default: nowhere, but for 2,000 accesses in one execution. */
export interface Limits {
  /** Accesses in one execution; at most 2,000. */
  readonly length?: number;
  /** Accesses made in all. */
  readonly steps?: number;
  /** States visited. */
  readonly states?: number;
}

export interface ScheduleStep {
  readonly thread: number;
  readonly made: Logged;
  /** Word that the access is about. */
  readonly place: string;
}

/** The shortest schedule found that breaks a rule. */
export interface Counterexample {
  readonly rule: string;
  readonly schedule: readonly ScheduleStep[];
}

export interface Verdict {
  /**
   * `complete`: every interleaving was looked at. `bounded`: a limit that was
   * given was hit. `stopped`: a rule was broken, or somebody interrupted.
   */
  readonly kind: "complete" | "bounded" | "stopped";
  /** Which limit, which rule; empty when complete. */
  readonly reason: string;
  readonly mode: Mode;
  readonly model: "SC";
  readonly threads: readonly string[];
  readonly pages: readonly number[];
  /** Accesses made while exploring. */
  readonly steps: number;
  /** States visited; distinct ones when merging. */
  readonly states: number;
  /** Ends of executions visited: as many as executions when naive, distinct ends when merging. */
  readonly ends: number;
  /** Executions (whole interleavings) covered; without meaning where a rule was broken. */
  readonly executions: bigint;
  readonly counterexample: Counterexample | null;
}
