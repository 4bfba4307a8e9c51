/**
 * The executor's protocol: little-endian 32-bit words over its standard input
 * and output.
 *
 *     → steps, then per step 12 words: operation, process, five 64-bit arguments
 *     ← per step: words that follow; error, value, signal, si_code, page; the state
 *     ← 0: the program's processes and files are gone
 *
 * Arguments are in the order of program.ts, except that mmap's prot and flags
 * share one (flags in the upper half) and its file is the number plus 1.
 */
import { argsOf, OPS, type Op, type Program } from "./program.js";
import type { TraceStep } from "./observe.js";

const STEP_WORDS = 12;
/** Words of a reply before the state: the result. */
const RESULT_WORDS = 5;

/** The message that runs a program. */
export function encodeProgram(program: Program): Uint8Array {
  const words = new Uint32Array(1 + program.steps.length * STEP_WORDS);
  words[0] = program.steps.length;
  for (const [i, op] of program.steps.entries()) encodeOp(words, 1 + i * STEP_WORDS, op);
  return new Uint8Array(words.buffer);
}

function encodeOp(words: Uint32Array, at: number, op: Op): void {
  words[at] = OPS[op.op].code;
  words[at + 1] = op.process;
  const values =
    op.op === "mmap"
      ? [op.address, op.length, [op.prot, op.flags] as const, op.file + 1, op.offset]
      : argsOf(op).map(([, , value]) => value);
  for (const [i, value] of values.entries()) {
    const [low, high] = typeof value === "number" ? halves(value) : value;
    words[at + 2 + 2 * i] = low;
    words[at + 3 + 2 * i] = high;
  }
}

/** Lower and upper half of a whole number as 64-bit two's complement. */
function halves(value: number): readonly [number, number] {
  return [value % 2 ** 32, Math.floor(value / 2 ** 32)];
}

/** Takes replies out of the bytes of standard output as they come. */
export class ReplyReader {
  /** Whether the end of the program was read. */
  ended = false;
  #rest: Buffer = Buffer.alloc(0);

  /** Steps that are complete with these bytes. */
  take(chunk: Buffer): TraceStep[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const steps: TraceStep[] = [];
    let at = 0;
    while (this.#rest.length - at >= 4) {
      const bytes = this.#rest.readUInt32LE(at) * 4;
      if (this.#rest.length - at - 4 < bytes) break;
      if (bytes === 0) this.ended = true;
      else steps.push(decodeStep(this.#rest.subarray(at + 4, at + 4 + bytes)));
      at += 4 + bytes;
    }
    this.#rest = this.#rest.subarray(at);
    return steps;
  }
}

function decodeStep(bytes: Buffer): TraceStep {
  const words = new Int32Array(bytes.length / 4);
  for (let i = 0; i < words.length; i++) words[i] = bytes.readInt32LE(4 * i);
  const [error, value, signal, code, page] = words;
  return {
    result: { error, value: value >>> 0, signal, code, page },
    state: words.slice(RESULT_WORDS),
  };
}
