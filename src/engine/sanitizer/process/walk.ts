/**
 * A random walk over the processes and files of a kernel, side by side with the
 * naive reference: after each step both say the same of what was asked, and what
 * every process sees is what the reference has.
 *
 * The same numbers give the same walk in every design.
 */
import type { RuleViolation } from "../../errors.js";
import type { Kernel } from "../../process/kernel.js";
import { advise, migrate, remap, split, upkeep } from "./walk-advice.js";
import { create, operate, remove } from "./walk-files.js";
import { merge, mergeAlike } from "./walk-ksm.js";
import { exit, fork, map, protect, read, unmap, write } from "./walk-memory.js";
import { direct, pin, useOrUnpin } from "./walk-pins.js";
import { freeDevice, makeDevice, mapDevice, touchDevice } from "./walk-scattered.js";
import { Draw } from "./program.js";
import { RefProcess } from "./reference.js";
import { inspectKernel, leaksOf } from "./sanitizer.js";
import { WalkState, type Live, type WalkOptions } from "./walk-state.js";
import type { Ref } from "../../../units.js";

type Step = (s: WalkState, draw: Draw, live: Live) => void;

/** Steps and how often they come. */
const STEPS: readonly (readonly [number, Step])[] = [
  [12, map],
  [7, unmap],
  [5, protect],
  [22, read],
  [36, write],
  [4, (s, _draw, live) => fork(s, live)],
  [3, (s, _draw, live) => exit(s, live)],
  [8, operate],
  [1, create],
  [1, remove],
  [10, advise],
  [5, remap],
  [4, pin],
  [1, direct],
  [4, useOrUnpin],
  [4, migrate],
  [2, split],
  [1, merge],
  [3, mergeAlike],
  [2, makeDevice],
  [3, mapDevice],
  [1, touchDevice],
  [1, freeDevice],
  [2, upkeep],
];
const WEIGHT = STEPS.reduce((sum, [weight]) => sum + weight, 0);

export class ProcessWalk {
  readonly state: WalkState;
  /** Cgroup that new processes belong to; 0 for none. */
  readonly #memcg: Ref;

  constructor(kernel: Kernel, options: WalkOptions, memcg: Ref = 0 as Ref) {
    this.state = new WalkState(kernel, options);
    this.#memcg = memcg;
  }

  get steps(): number {
    return this.state.steps;
  }

  /** Operations refused for want of memory. */
  get failures(): number {
    return this.state.failures;
  }

  /** One operation, decoded from a 32-bit number. Throws RuleViolation where the two differ. */
  step(n: number): void {
    const s = this.state;
    s.steps++;
    s.kernel.base.core.step = s.steps;
    const draw = new Draw(n);
    if (s.lives.length === 0 && !this.#start()) return;
    let pick = draw.below(WEIGHT);
    const found = STEPS.find(([weight]) => (pick -= weight) < 0);
    found?.[1](s, draw, draw.of(s.lives));
    s.followTakes();
  }

  #start(): boolean {
    const s = this.state;
    s.doing = "a new process";
    const got = s.outcome(() => {
      s.lives.push({ process: s.kernel.createProcess(this.#memcg), ref: new RefProcess() });
    });
    return s.agree(got, "");
  }

  /** Contents of everything against the reference (throws), and every rule of the sanitizer. */
  check(): RuleViolation[] {
    this.state.doing = "comparing all";
    this.state.compareAll();
    return inspectKernel(this.state.kernel, this.state.holdings());
  }

  /** Ends everything; what is left is a leak. */
  finish(): RuleViolation[] {
    const s = this.state;
    for (const { pages } of s.pins.splice(0)) pages.release();
    s.kernel.exitAll();
    s.lives.length = 0;
    for (const { file } of s.files.splice(0)) {
      file.close();
      file.unlink();
    }
    s.devices.finish();
    // A page that somebody held when its last mapping went may stay in the swap cache till it is reclaimed.
    while (s.kernel.base.swap.used > 0 && s.kernel.reclaim.some(64, 0 as Ref) > 0);
    s.kernel.setHugePages(0);
    s.giveBack();
    if (this.#memcg !== 0) s.kernel.base.memcgs.destroy(this.#memcg);
    return [...leaksOf(s.kernel), ...inspectKernel(s.kernel)];
  }
}
