/**
 * One processor's ring buffer as a stream of sub-buffers: bytes from a reader, gathered
 * into whole sub-buffers, decoded one at a time.
 *
 * What ends a lane before its time is damage, by file and by byte of the unpacked
 * stream: a sub-buffer that cannot be, a file that ends within one, packed data that
 * does not unpack.
 */
import { InputError } from "../../observe/input-error.js";
import type { ByteReader, Damage } from "../source.js";
import type { PageDecoder } from "./page-decoder.js";

/** Bytes kept of a lane at a time: a few sub-buffers of the usual size. */
const HOLD = 64 * 1024;

export class RingLane {
  readonly file: string;
  readonly cpu: number;
  /** Why there will be no more rows; null also at a whole end. */
  damage: Damage | null = null;
  /** Unpacked bytes read so far. */
  bytes = 0;

  private readonly reader: ByteReader;
  private readonly pageSize: number;
  private readonly held: Uint8Array;
  private readonly words: Int32Array;
  private begin = 0;
  private end = 0;
  private over = false;

  constructor(file: string, cpu: number, reader: ByteReader, pageSize: number) {
    this.file = file;
    this.cpu = cpu;
    this.reader = reader;
    this.pageSize = pageSize;
    const buffer = new ArrayBuffer(Math.max(1, Math.floor(HOLD / pageSize)) * pageSize);
    this.held = new Uint8Array(buffer);
    this.words = new Int32Array(buffer);
  }

  /** True where a whole sub-buffer is at hand. */
  get hasPage(): boolean {
    return this.end - this.begin >= this.pageSize;
  }

  /** Reads until a whole sub-buffer is at hand; false at the end and at damage. */
  async fetch(): Promise<boolean> {
    this.held.copyWithin(0, this.begin, this.end);
    this.end -= this.begin;
    this.begin = 0;
    while (!this.hasPage && !this.over) await this.readMore();
    if (this.hasPage) return true;
    if (this.end > 0 && this.damage === null) {
      this.damage = {
        where: this.place(0),
        why: `the file ends within a sub-buffer: ${this.end} of ${this.pageSize} bytes`,
      };
    }
    return false;
  }

  private async readMore(): Promise<void> {
    try {
      const piece = await this.reader.read(this.held.length - this.end);
      this.held.set(piece, this.end);
      this.end += piece.length;
      this.bytes += piece.length;
      this.over = piece.length === 0;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.over = true;
      this.damage = { where: this.place(this.end), why: error.reason };
    }
  }

  /**
   * Decodes the sub-buffer at hand, and lets it go. False where it was damaged: then
   * the rows before the damage are the lane's last.
   */
  decode(decoder: PageDecoder): boolean {
    decoder.decode(this.words, this.held, this.begin);
    if (decoder.fault !== null) {
      this.damage = { where: this.place(decoder.faultAt), why: decoder.fault };
      this.over = true;
      this.begin = this.end;
      return false;
    }
    this.begin += this.pageSize;
    return true;
  }

  /** Tries a decoder on all sub-buffers at hand, without letting them go; false at a fault. */
  probe(decoder: PageDecoder): boolean {
    for (let at = this.begin; at + this.pageSize <= this.end; at += this.pageSize) {
      decoder.decode(this.words, this.held, at);
      if (decoder.fault !== null) return false;
    }
    return true;
  }

  /** File and byte of what is `offset` bytes after the sub-buffer at hand. */
  private place(offset: number): string {
    return `${this.file}, byte ${this.bytes - (this.end - this.begin) + offset}`;
  }
}
