/**
 * Unsigned integers in 7-bit groups, low group first (LEB128), as the columns
 * of a capture hold them. Every value is below 2^32, in at most five bytes.
 */
import { InputError } from "../input-error.js";

/** A byte array that grows. */
export class VarintWriter {
  private bytes = new Uint8Array(1 << 16);
  private used = 0;

  /** Appends one value, 0 … 2^32 − 1. */
  put(value: number): void {
    if (this.used + 5 > this.bytes.length) {
      const next = new Uint8Array(this.bytes.length * 2);
      next.set(this.bytes);
      this.bytes = next;
    }
    let v = value >>> 0;
    while (v > 0x7f) {
      this.bytes[this.used++] = (v & 0x7f) | 0x80;
      v >>>= 7;
    }
    this.bytes[this.used++] = v;
  }

  finish(): Uint8Array {
    return this.bytes.slice(0, this.used);
  }
}

/** Reads values one after the other; whatever does not fit is an InputError. */
export class VarintReader {
  private at: number;
  private readonly bytes: Uint8Array;
  private readonly end: number;
  private readonly file: string;
  private readonly what: string;

  constructor(bytes: Uint8Array, start: number, end: number, file: string, what: string) {
    this.bytes = bytes;
    this.at = start;
    this.end = end;
    this.file = file;
    this.what = what;
  }

  next(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      if (this.at >= this.end)
        throw new InputError({ file: this.file }, `column ${this.what} ends too early`);
      const byte = this.bytes[this.at++];
      if (shift === 28 && byte > 0x0f) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new InputError({ file: this.file }, `column ${this.what} holds a number past 2^32`);
  }

  /** Refuses bytes that are left over. */
  done(): void {
    if (this.at !== this.end)
      throw new InputError({ file: this.file }, `column ${this.what} has bytes left over`);
  }
}
