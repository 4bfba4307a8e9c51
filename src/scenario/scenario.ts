/**
 * What a scenario is: the public, typed definition that a scenario file exports,
 * and what its `run` is given.
 *
 * A scenario is ordinary TypeScript against the public API. It does things to a
 * machine in steps and says what it expects; the narrator (`narrator.ts`) writes
 * down what each step changed, and checks the machine's rules after it. The same
 * file runs on every design, so nothing in it names one.
 */
import { CPUS_MAX, memoryOf, NODES_MAX } from "../engine/machine-plan.js";
import type { Devices } from "../engine/device/devices.js";
import type { KernelRequest } from "../engine/process/kernel.js";
import { policyProblem } from "../engine/process/policy-check.js";
import type { Subject } from "./subject.js";
import { parseBytes } from "../units.js";

export type { KernelRequest as ScenarioMachine } from "../engine/process/kernel.js";

/** What a scenario file exports as its default. */
export interface Scenario {
  /** A few words, in lower case: `folio life`. */
  readonly name: string;
  /** One line: what it shows. */
  readonly about: string;
  /** What it runs on; 256 MiB, one node, one CPU, no swap where nothing is said. */
  readonly machine?: KernelRequest;
  /** Called once for each design, on a machine freshly booted in it. */
  run(s: ScenarioContext): void | Promise<void>;
}

/** What a finding can be: what JSON can carry and a table can show. */
export type Value = string | number | boolean | null;

/** How a step is treated. */
export interface StepOptions {
  /**
   * The step ends in the middle of an operation (a descriptor is taken, no page
   * names it yet), so the machine's rules are not looked at after it. The step
   * that finishes the operation is checked as always.
   */
  readonly unfinished?: boolean;
}

/**
 * What `run` is given. The machine offers what memory management can do; the
 * rest of the functions tell the story. All of them are synchronous: between two
 * steps `run` may await something, inside a step it may not.
 */
export interface ScenarioContext extends Offer {
  /** Canonical name of the design under test, `memdesc8+free-pointer=outside`. */
  readonly design: string;

  /**
   * Does something and narrates it: bytes of metadata before and after,
   * descriptors allocated and freed, cache lines read and written. Gives back
   * what `does` gave. The machine's rules are checked afterwards.
   */
  step<T>(what: string, does: () => T, options?: StepOptions): T;

  /**
   * A step that does the same operation `times` times (1 … 1,000,000). Each is
   * measured alone, so the report can say cache lines per operation.
   */
  repeat(what: string, times: number, does: (index: number) => void, options?: StepOptions): void;

  /**
   * A step of several threads, by name. Each runs until it ends or has to wait (for a
   * lock, for writeback, for a page that moves); who waits goes on once what it waits
   * for has come, which the report tells. The first that can run does, in the order in
   * which they are named. A thread that waited is run again from its start without
   * doing again what it did, so before a wait it may only call the kernel, and ends nothing
   * (a process, a file, a pin). Threads that
   * wait for ever end the scenario with the answer no.
   */
  threads(what: string, threads: Readonly<Record<string, () => void>>, options?: StepOptions): void;

  /** Shows free memory and metadata now and, of each page named, its words and its owner. */
  show(title: string, pages?: Iterable<number>): void;

  /** A sentence of the story. */
  note(text: string): void;

  /** Notes something that may well differ between designs; the report compares it. */
  finding(what: string, value: Value): void;

  /** Something that must hold. Where it does not, the scenario ends with the answer no. */
  expect(what: string, holds: boolean): void;
  /** The same, naming both sides. Compared by value. */
  expect(what: string, actual: Value, expected: Value): void;

  /**
   * Expects the engine to refuse: `does` throws an MmError with this errno
   * (`"ENOMEM"`), returns it as a negative number as functions inside the engine do,
   * or makes an access that ends in this signal (`"SIGSEGV"`, `"SIGBUS"`,
   * `"SIGKILL"`: SignalError). Where it does not, the scenario ends with the answer no.
   */
  refused(code: string, does: () => unknown): void;
}

/** What a scenario can do things to. */
export interface Offer extends Pick<Subject, "machine" | "kernel"> {
  /**
   * Device memory: page maps, migration, HMM. Throws ScenarioError where `machine`
   * does not ask for `device`.
   */
  readonly devices: Devices;
}

/** A scenario or the way it is used is wrong: its author's to repair. */
export class ScenarioError extends Error {
  override readonly name = "ScenarioError";
}

/**
 * Says that this is a scenario, for the editor's sake: `export default
 * defineScenario({ … })`. Throws ScenarioError where it cannot be one.
 */
export function defineScenario(scenario: Scenario): Scenario {
  const problem = problemOf(scenario);
  if (problem !== null) throw new ScenarioError(problem);
  return scenario;
}

/** Why a value is no scenario; null where it is one. Files need not be type-checked. */
export function problemOf(value: unknown): string | null {
  if (typeof value !== "object" || value === null) {
    return `a scenario is an object with name, about and run, not ${describe(value)}`;
  }
  const { name, about, run, machine } = value as Readonly<Record<string, unknown>>;
  if (!isLine(name)) return "a scenario's name is one line of text";
  if (!isLine(about)) return "a scenario's about is one line of text";
  if (typeof run !== "function") return "a scenario has a function run(s)";
  return machine === undefined ? null : machineProblem(machine);
}

function machineProblem(machine: unknown): string | null {
  if (typeof machine !== "object" || machine === null) return "machine is an object";
  const { memory, nodes, cpus, swap, hugetlbRoom, policy, chargeDescriptors, device, ...rest } =
    machine as Readonly<Record<string, unknown>>;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) {
    return `machine has memory, nodes, cpus, swap, hugetlbRoom, policy, chargeDescriptors and device, and no ${unknown}`;
  }
  if (swap !== undefined && parseBytes(String(swap)) === undefined)
    return 'swap is a size, as "64MiB" or in bytes';
  if (hugetlbRoom !== undefined && !isWithin(hugetlbRoom, 2 ** 19))
    return "hugetlbRoom is a number of 2 MiB pages";
  const wrong = policy === undefined ? null : policyProblem(policy);
  if (wrong !== null) return wrong;
  if (device !== undefined && (typeof device !== "object" || device === null))
    return 'device is an object: { private: "1GiB", span: "512MiB", physicalBits, windows }';
  if (chargeDescriptors !== undefined && typeof chargeDescriptors !== "boolean")
    return "chargeDescriptors is true or false";
  if (nodes !== undefined && !isWithin(nodes, NODES_MAX)) return `nodes are 1 … ${NODES_MAX}`;
  if (cpus !== undefined && !isWithin(cpus, CPUS_MAX)) return `cpus are 1 … ${CPUS_MAX}`;
  const asked = memory === undefined || typeof memory === "number" || typeof memory === "string";
  const bytes = asked ? memoryOf(memory) : null;
  return bytes === null ? 'memory is 8 MiB … 4 GiB, as "256MiB" or in bytes' : null;
}

const isLine = (value: unknown): value is string =>
  typeof value === "string" && value.trim() !== "" && !value.includes("\n");

const isWithin = (value: unknown, most: number): boolean =>
  Number.isInteger(value) && Number(value) >= 1 && Number(value) <= most;

const describe = (value: unknown): string =>
  value === null ? "null" : typeof value === "object" ? "an object" : `a ${typeof value}`;

/** The same as a guard, for a value that came out of a file. */
export const isScenario = (value: unknown): value is Scenario => problemOf(value) === null;
