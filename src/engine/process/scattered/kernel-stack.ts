/**
 * A kernel stack in vmalloc space (CONFIG_VMAP_STACK): four pages and the guard
 * page before which it ends.
 *
 * Source: kernel/fork.c of 6.18 (alloc_thread_stack_node, THREAD_SIZE 16 KiB).
 * Simplified: no cache of stacks per CPU, no accounting; the guard page that
 * catches an overflow is that of the area below, here the stack's own.
 */
import { PAGE_SIZE } from "../../../units.js";
import { byteArray, wholeNumber } from "../arguments.js";
import type { Area } from "./area.js";

export const STACK_PAGES = 4;

/** A stack of 16 KiB: what `Scattered.stack` gives. Freed once, it is refused (EINVAL). */
export class KernelStack {
  readonly area: Area;
  /** Bytes in use, from the top. */
  #used = 0;

  constructor(area: Area) {
    this.area = area;
  }

  /** Bytes in use, 0 … 16384. */
  get used(): number {
    return this.#used;
  }

  /** Pushes a frame. Throws RuleViolation where it runs into the guard page. */
  push(frame: Uint8Array): void {
    const at = STACK_PAGES * PAGE_SIZE - this.#used - byteArray("a stack frame", frame).length;
    // The page below the lowest one is not mapped.
    this.area.write(at, frame);
    this.#used += frame.length;
  }

  /** Takes the last `length` bytes off again. Throws RangeError for more than are in use. */
  pop(length: number): Uint8Array {
    wholeNumber("what is popped", length, 0, this.#used);
    const at = STACK_PAGES * PAGE_SIZE - this.#used;
    const frame = this.area.read(at, length);
    this.#used -= length;
    return frame;
  }

  /** The task is gone. Throws MmError (EINVAL) the second time. */
  free(): void {
    this.area.free();
  }
}
