/**
 * A subject that is wrong on purpose: in place of every operation of one name it
 * does something without effect. It shows that differences are found and shrunk.
 */
import { PAGE, type Op, type OpName, type Program } from "./program.js";
import type { Subject, Trace } from "./subject.js";

/** Where nothing is mapped. */
const EMPTY = 0x10_0000_0000;

export class DroppingSubject implements Subject {
  readonly name: string;
  readonly #inner: Subject;
  readonly #drop: OpName;

  constructor(inner: Subject, drop: OpName) {
    this.name = `${inner.name} without ${drop}`;
    this.#inner = inner;
    this.#drop = drop;
  }

  run(program: Program): Promise<Trace> {
    const steps = program.steps.map((op) => (op.op === this.#drop ? harmless(op) : op));
    return this.#inner.run({ ...program, steps });
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

const harmless = ({ process }: Op): Op => ({ op: "munmap", process, address: EMPTY, length: PAGE });
