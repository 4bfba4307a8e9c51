/**
 * A number by frame, for a fixed number of frames: open addressing with linear probing,
 * without allocation. The recorder asks it several times for each page event, which is
 * more often than a Map is good for.
 */
export class FrameTable {
  /** Frames that have a number. */
  size = 0;
  /** Most frames that it may hold: half of its places, so that a search is short. */
  readonly most: number;
  private readonly keys: Int32Array;
  private readonly values: Float64Array;
  private readonly mask: number;
  private readonly shift: number;

  /** With 2^bits places. */
  constructor(bits: number) {
    this.keys = new Int32Array(1 << bits).fill(-1);
    this.values = new Float64Array(1 << bits);
    this.mask = (1 << bits) - 1;
    this.shift = 32 - bits;
    this.most = 1 << (bits - 1);
  }

  /** The frame's number; 0 for none. */
  get(pfn: number): number {
    const i = this.find(pfn);
    return this.keys[i] === pfn ? this.values[i] : 0;
  }

  /** Sets a frame's number, which is not 0. The caller has looked that there is room. */
  set(pfn: number, value: number): void {
    const i = this.find(pfn);
    if (this.keys[i] !== pfn) this.size++;
    this.keys[i] = pfn;
    this.values[i] = value;
  }

  delete(pfn: number): void {
    const { keys, values, mask } = this;
    let hole = this.find(pfn);
    if (keys[hole] !== pfn) return;
    this.size--;
    // What stands behind it moves up, unless it would come before its own place.
    for (let i = (hole + 1) & mask; keys[i] !== -1; i = (i + 1) & mask) {
      const home = this.home(keys[i]);
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      keys[hole] = keys[i];
      values[hole] = values[i];
      hole = i;
    }
    keys[hole] = -1;
  }

  clear(): void {
    this.keys.fill(-1);
    this.size = 0;
  }

  /** Frames whose number the test takes, from the lowest. */
  frames(test: (value: number) => boolean): Int32Array {
    const { keys, values } = this;
    const found = keys.filter((pfn, i) => pfn !== -1 && test(values[i]));
    return found.sort();
  }

  private home(pfn: number): number {
    return Math.imul(pfn, 0x9e37_79b1) >>> this.shift;
  }

  /** Where the frame is, or would be. */
  private find(pfn: number): number {
    const { keys, mask } = this;
    let i = this.home(pfn);
    while (keys[i] !== pfn && keys[i] !== -1) i = (i + 1) & mask;
    return i;
  }
}
