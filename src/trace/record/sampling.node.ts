/**
 * /proc/kpageflags of the running kernel, frame by frame, for {@link Sampler}; and what
 * came of it, in words.
 *
 * Facts: Documentation/admin-guide/mm/pagemap.rst (8 bytes a frame, whole words only).
 */
import { closeSync, openSync, readSync } from "node:fs";
import { ioReason } from "../../observe/files/io-error.node.js";
import { InputError } from "../../observe/input-error.js";
import { formatCount } from "../../units.js";
import { monotonic } from "./drain.node.js";
import { type SampleCounts, Sampler } from "./sampler.js";
import { pause } from "./waiting.js";

const FILE = "/proc/kpageflags";

export class Sampling {
  readonly sampler: Sampler;
  /** Milliseconds between two readings. */
  readonly every: number;
  /** Milliseconds of processor time that readings took. */
  spent = 0;
  private readonly file: number;
  private open = true;

  /** Throws InputError where the flags cannot be read here. */
  constructor(every: number) {
    this.every = every;
    try {
      this.file = openSync(FILE, "r");
    } catch (error) {
      throw new InputError({ file: FILE }, ioReason(error), "record without --sample");
    }
    this.sampler = new Sampler((first, count, into) => this.flags(first, count, into), monotonic);
  }

  /** Reads every so often while `goesOn` says so. */
  async run(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      await pause(this.every);
      const begun = performance.now();
      this.sampler.read();
      this.spent += performance.now() - begun;
    }
  }

  close(): void {
    if (this.open) closeSync(this.file);
    this.open = false;
  }

  private flags(first: number, count: number, into: Int32Array): number {
    try {
      const bytes = new Uint8Array(into.buffer, into.byteOffset, count * 8);
      return readSync(this.file, bytes, 0, count * 8, first * 8) >> 3;
    } catch (error) {
      throw new InputError({ file: FILE, offset: first * 8 }, ioReason(error));
    }
  }
}

/** What the samples came to. */
export function sampleText(counts: SampleCounts, every: number, spent: number): string {
  const { allocations, samples, looked, readings, skipped } = counts;
  const share = allocations === 0 ? 0 : (samples / allocations) * 100;
  return (
    `${formatCount(samples)} samples of ${formatCount(allocations)} allocations ` +
    `(${share.toFixed(share < 1 ? 2 : 1)} %); ${formatCount(readings)} readings, one each ${every} ms, ` +
    `took ${(spent / 1000).toFixed(2)} s` +
    (looked > samples ? `; ${formatCount(looked - samples)} frames had gone meanwhile` : "") +
    (skipped > 0 ? `; ${formatCount(skipped)} readings were left out` : "")
  );
}
