/**
 * How far V8 may inline in a process that runs the engine.
 *
 * An operation of memory management is a tree of small functions over words; V8's
 * default budget for one optimised function (920 bytes of bytecode) is spent
 * before the words are reached, and calls cost more than what they do. So small
 * functions (up to 60 bytes: those of the words, of locks, of flags) are inlined
 * wherever they are called, and there is room for more. Faults are a half faster
 * for it (docs/benchmarks.md); it costs compile time, so only processes that run
 * long loops ask for it.
 */
import { setFlagsFromString } from "node:v8";

/** Called first in such a process; functions that are optimised later profit. */
export function widenInlining(): void {
  setFlagsFromString("--max-inlined-bytecode-size-cumulative=4000");
  setFlagsFromString("--max-inlined-bytecode-size-small=60");
  setFlagsFromString("--max-inlined-bytecode-size=1000");
}
