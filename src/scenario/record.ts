/**
 * What a run leaves behind, as plain data: what crosses from a worker to the
 * report, and what `--json` prints.
 */
import type { Value } from "./scenario.js";

/** How the run of one design ended. */
export type Verdict =
  /** To its end, every expectation met, no rule broken. */
  | "ok"
  /** An expectation did not hold. */
  | "no"
  /** A rule of the machine does not hold. */
  | "broken-rule"
  /** The engine or the design refused something that the scenario did not expect to be refused. */
  | "refused"
  /** The scenario itself threw: it has a mistake. */
  | "failed"
  /** It was stopped: by its time limit, for want of memory, or by its own exit. */
  | "stopped";

/** A rule that does not hold. */
export interface BrokenRule {
  readonly rule: string;
  /** Frame; −1 where the rule is about no frame. */
  readonly pfn: number;
  readonly detail: string;
  /** What the words say of the page and who holds it. */
  readonly holder: string;
}

export interface Outcome {
  readonly verdict: Verdict;
  /** Number of the step in or after which it ended; null before the first and for `ok`. */
  readonly step: number | null;
  /** It ended after that step was done, before the next one. */
  readonly between: boolean;
  /** What that step does. */
  readonly what: string | null;
  /** Why, in one line; empty for `ok`. */
  readonly why: string;
  /** `file:line:column` in the scenario, where known. */
  readonly place: string | null;
  /** The rules that are broken: the first ones found, at most {@link RULES_SHOWN}. */
  readonly broken: readonly BrokenRule[];
  /** How many violations there are in all. */
  readonly violations: number;
}

/** Violations that are told one by one. */
export const RULES_SHOWN = 5;

export const OK: Outcome = {
  verdict: "ok",
  step: null,
  between: false,
  what: null,
  why: "",
  place: null,
  broken: [],
  violations: 0,
};

/** Bytes of one kind of metadata, before and after a step. */
export interface MetadataChange {
  readonly kind: string;
  readonly before: number;
  readonly after: number;
}

/** Descriptors, or other kernel objects, of one type that came and went in a step. */
export interface ObjectUse {
  readonly type: string;
  /** Bytes of one, free pointer and alignment included. */
  readonly size: number;
  readonly allocated: number;
  readonly freed: number;
}

/** Distinct 64-byte lines of metadata, summed over the operations of a step. */
export interface Lines {
  readonly read: number;
  readonly written: number;
  /** Read, written or both. */
  readonly touched: number;
}

/** A page as `show` found it. */
export interface ShownPage {
  readonly pfn: number;
  /** `file`, `misc/unknown`, `buddy`, …, the same in every design. */
  readonly type: string;
  /** PageAnonExclusive of this very page. */
  readonly exclusive: boolean;
  /** First frame and order of its block. */
  readonly block: number;
  readonly order: number;
  /** 64-bit values of the frame's own entry in the page array, hexadecimal. */
  readonly words: readonly string[];
  /** Address of the descriptor or overlay, hexadecimal; null where it has none. */
  readonly descriptor: string | null;
  /** References of its folio, or of a page that is counted itself; null for what has no count. */
  readonly references: number | null;
  /** All mappings of its folio; null for what is none. */
  readonly mapcount: number | null;
  /** Pins of its folio, `maybe` where they cannot be told from references; null for what is none. */
  readonly pins: number | "maybe" | null;
  /** Flags of its folio by name. */
  readonly flags: readonly string[];
}

/** What is said in a step or between two. */
export type Remark =
  | { readonly is: "note"; readonly text: string }
  | { readonly is: "finding"; readonly what: string; readonly value: Value }
  | {
      readonly is: "expect";
      readonly what: string;
      readonly holds: boolean;
      /** Both sides, where the scenario named them. */
      readonly actual?: Value;
      readonly expected?: Value;
    }
  | {
      readonly is: "refused";
      readonly expected: string;
      readonly holds: boolean;
      /** What the engine said. */
      readonly said: string;
    }
  | {
      readonly is: "show";
      readonly title: string;
      readonly freePages: number;
      readonly metadata: readonly { readonly kind: string; readonly bytes: number }[];
      readonly pages: readonly ShownPage[];
    };

/** One step: what was done, what changed, what was said. */
export interface Step {
  readonly is: "step";
  /** Counted from 1. */
  readonly number: number;
  readonly what: string;
  /** 1, or how often `repeat` did it. */
  readonly operations: number;
  /** Every kind that has bytes, before or after. */
  readonly metadata: readonly MetadataChange[];
  /** Only types of which any came or went. */
  readonly descriptors: readonly ObjectUse[];
  /** The same of kernel objects that describe no page: VMAs, anon_vmas, … */
  readonly objects: readonly ObjectUse[];
  /** Null where the step ended in an error. */
  readonly lines: Lines | null;
  readonly freePages: { readonly before: number; readonly after: number };
  readonly said: readonly Remark[];
}

export type Entry = Step | Remark;

/** Descriptors that came and went. */
export interface Traffic {
  readonly allocated: number;
  readonly freed: number;
}

/** A run from boot to its end, what was done outside of steps included. */
export interface Totals {
  /** Bytes of metadata: after boot, at the end. */
  readonly metadata: { readonly before: number; readonly after: number };
  readonly descriptors: Traffic;
  /** Those of them that came and went outside of steps. */
  readonly outside: Traffic;
}

/** One design's run. */
export interface DesignRun {
  readonly design: string;
  readonly outcome: Outcome;
  /** Null where it was stopped. */
  readonly totals: Totals | null;
  readonly timeline: readonly Entry[];
}

/** What a run tells while it goes on. */
export type Happening =
  | { readonly is: "begun"; readonly number: number; readonly what: string }
  | { readonly is: "entry"; readonly entry: Entry }
  | { readonly is: "totals"; readonly totals: Totals };
