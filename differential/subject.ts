/**
 * Subjects: what a program can be run on. The live kernel is one
 * (kernel-subject.node.ts), the engine another, tests have simple ones.
 */
import type { Result, TraceStep } from "./observe.js";
import type { Op, Program } from "./program.js";

/** What both subjects must agree on before a program starts. */
export interface MachineConfig {
  /** Kernel release that is imitated. */
  readonly release: string;
  /** Huge pages of 2 MiB in the hugetlb pool, for each program. */
  readonly hugetlbPages: number;
  /** Bytes that a read fault on a file maps around itself, aligned. */
  readonly faultAroundBytes: number;
  /** Readahead of the disk that the test file lies on, pages. */
  readonly readaheadPages: number;
  /** Whether its file system makes folios of several pages. */
  readonly largeFolios: boolean;
  /** /sys/kernel/mm/transparent_hugepage: files by name, the chosen word of each. */
  readonly thp: ReadonlyMap<string, string>;
  /** Page frames of the machine's memory. */
  readonly memoryPages: number;
  /** Bytes of swap space. */
  readonly swapBytes: number;
  /** /proc/sys/vm/overcommit_memory. */
  readonly overcommit: number;
}

/** Runs whole programs. Each run starts from nothing. */
export interface Subject {
  readonly name: string;
  /**
   * The result of each step and the state after it; as many as the program has
   * steps, or fewer where the subject failed: `failure` then says how.
   */
  run(program: Program): Promise<Trace>;
  close(): Promise<void>;
}

export interface Trace {
  readonly steps: readonly TraceStep[];
  /** What broke the subject itself in the step after the last; null if nothing did. */
  readonly failure: string | null;
}

/** A subject that goes step by step. */
export interface StepSubject {
  /** Begins a program: fresh files, process 0 with nothing mapped. */
  start(): void;
  step(op: Op): Result;
  /** The state as words, made by a StateWriter. */
  observe(): Int32Array;
  end(): void;
}

/** Makes a subject of one that goes step by step; what it throws is its failure. */
export function stepwise(name: string, subject: StepSubject): Subject {
  return {
    name,
    async run(program) {
      const steps: TraceStep[] = [];
      let failure: string | null = null;
      try {
        subject.start();
        for (const op of program.steps) {
          const result = subject.step(op);
          steps.push({ result, state: subject.observe() });
        }
      } catch (error) {
        failure = tell(error);
      }
      try {
        subject.end();
      } catch (error) {
        failure ??= `at the end: ${tell(error)}`;
      }
      return { steps, failure };
    },
    async close() {},
  };
}

/** An error with the innermost places of the subject's own code. */
function tell(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return (error.stack ?? error.message).split("\n").slice(0, 4).join("\n");
}
