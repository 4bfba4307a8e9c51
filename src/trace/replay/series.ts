/**
 * What a machine costs over the time of a trace: samples at equal distances, and
 * peak and mean of metadata as they really were between them.
 *
 * Nobody knows how long a trace is before it ends. Samples begin close together; when
 * there are {@link MOST} of them every second one is dropped and the distance doubled,
 * so their number, and which ones there are, depends on the trace alone.
 */
import type { Machine } from "../../engine/machine.js";
import { MAX_ORDER } from "../../engine/pages/zones.js";

/** Samples that are kept at most; at least half as many are once there have been so many. */
const MOST = 512;
/** Distance of the first samples: 1 ms. */
const FIRST_STEP = 1e6;

export interface Sample {
  /** Nanoseconds since the first event. */
  readonly time: number;
  /** Bytes of metadata: page array, tables, slabs. */
  readonly metadata: number;
  /** Objects in use, by cache. */
  readonly objects: readonly number[];
  /** Pages of slabs, by cache. */
  readonly slabs: readonly number[];
  /** Free blocks by order, all zones together; pages on per-CPU lists are not among them. */
  readonly free: readonly number[];
}

export class Series {
  readonly #machine: Machine;
  /** Bytes that are there whatever happens: page array and zone table. */
  readonly fixed: number;
  samples: Sample[] = [];
  peak: number;
  /** When the next sample is due; the first operation takes one. */
  next = -1;
  #start = -1;
  #step = FIRST_STEP;
  // Mean: bytes × time up to the last change.
  #area = 0;
  #since = 0;
  #bytes: number;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.fixed = machine.pageArrayBytes + machine.zoneTableBytes;
    this.#bytes = this.fixed + machine.heap.held() * machine.pageSize;
    this.peak = this.#bytes;
  }

  /** The heap of descriptors has so many pages from now on. */
  changed(time: number, held: number): void {
    const at = Math.max(0, time - Math.max(0, this.#start));
    this.#area += this.#bytes * (at - this.#since);
    this.#since = at;
    this.#bytes = this.fixed + held * this.#machine.pageSize;
    if (this.#bytes > this.peak) this.peak = this.#bytes;
  }

  sample(time: number): void {
    if (this.#start < 0) this.#start = time;
    const at = time - this.#start;
    this.samples.push(this.#look(at));
    if (this.samples.length >= MOST) {
      this.samples = this.samples.filter((_, i) => i % 2 === 0);
      this.#step *= 2;
    }
    // On the grid, so that a pause leaves a gap and no heap of samples.
    this.next = this.#start + (Math.floor(at / this.#step) + 1) * this.#step;
  }

  #look(at: number): Sample {
    const { caches, buddy, config } = this.#machine;
    const usage = caches.usage();
    return {
      time: at,
      metadata: this.#bytes,
      objects: usage.map((u) => u.objects),
      slabs: usage.map((u) => u.slabs),
      free: Array.from({ length: MAX_ORDER + 1 }, (_, order) =>
        config.zones.reduce((sum, _z, zone) => sum + buddy.freeBlocks(zone, order), 0),
      ),
    };
  }

  /** Mean over the time up to the last sample. */
  get mean(): number {
    const end = this.samples.at(-1)?.time ?? 0;
    if (end === 0) return this.#bytes;
    return (this.#area + this.#bytes * (end - this.#since)) / end;
  }

  get end(): number {
    return this.#bytes;
  }

  /** Nanoseconds from the first event to the last sample. */
  get duration(): number {
    return this.samples.at(-1)?.time ?? 0;
  }
}
