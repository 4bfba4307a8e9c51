/**
 * Lines of a byte stream, in one buffer that does not grow: what is left of the last
 * read moves to the front, the next bytes are put behind it.
 *
 * A line may be half in one read and half in the next, so that the reader may cut
 * anywhere. A line longer than {@link LONGEST_LINE} is none: that is what binary data
 * looks like, and to wait for its end would read the whole file into memory.
 */
import type { ByteReader } from "../source.js";
import { CR, LF } from "./bytes.js";

export const LONGEST_LINE = 64 * 1024;
const CAPACITY = 512 * 1024;

export class LineBuffer {
  readonly bytes: Uint8Array;
  /** Where the line that {@link next} found begins and ends, without its end of line. */
  from = 0;
  to = 0;
  /** The number of that line, counted from 1. */
  line = 0;
  /** Bytes of the stream before the start of that line. */
  offset = 0;
  /** The last line of a stream that does not end with an end of line. */
  unterminated = false;
  private readonly reader: ByteReader;
  private start = 0;
  private filled = 0;
  private ended = false;
  private consumed = 0;

  constructor(reader: ByteReader, capacity = CAPACITY) {
    this.reader = reader;
    this.bytes = new Uint8Array(Math.max(capacity, LONGEST_LINE * 2));
  }

  /** Finds the next line among the bytes read so far; false if it is not all there. */
  next(): boolean {
    const at = this.start;
    const end = this.bytes.indexOf(LF, at);
    // Behind what is filled stands what was there before.
    if (end >= 0 && end < this.filled) {
      this.take(at, end, end + 1);
      return true;
    }
    if (this.ended && at < this.filled) {
      this.unterminated = true;
      this.take(at, this.filled, this.filled);
      return true;
    }
    return false;
  }

  private take(from: number, to: number, next: number): void {
    this.from = from;
    this.to = to > from && this.bytes[to - 1] === CR ? to - 1 : to;
    this.offset = this.consumed;
    this.consumed += next - from;
    this.start = next;
    this.line++;
  }

  /** Gives the line back, to be found again. */
  unread(): void {
    this.consumed = this.offset;
    this.start = this.from;
    this.unterminated = false;
    this.line--;
  }

  /** Whether more bytes may come. */
  get atEnd(): boolean {
    return this.ended;
  }

  /** No more bytes, and those of the last line do not count: the stream broke off. */
  cut(): void {
    this.ended = true;
    this.start = this.filled;
  }

  /** Whether what stands here without an end is too long for a line. */
  get overlong(): boolean {
    return this.filled - this.start > LONGEST_LINE;
  }

  /** Reads on. To be called when {@link next} found nothing. */
  async fill(): Promise<void> {
    const rest = this.filled - this.start;
    if (this.start > 0) {
      this.bytes.copyWithin(0, this.start, this.filled);
      this.start = 0;
      this.filled = rest;
    }
    const piece = await this.reader.read(this.bytes.length - rest);
    if (piece.length === 0) {
      this.ended = true;
      return;
    }
    this.bytes.set(piece, rest);
    this.filled += piece.length;
  }
}
