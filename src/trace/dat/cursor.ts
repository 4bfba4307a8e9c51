/**
 * Numbers and strings of a file at a place that moves on: little endian, checked
 * against the file's end, every refusal with its byte.
 */
import { InputError } from "../../observe/input-error.js";

/** Bytes of a file at any place. */
export interface RandomAccess {
  /** Bytes of the whole file. */
  readonly size: number;
  /** Bytes from a place on, fewer at the file's end. */
  readAt(offset: number, length: number): Promise<Uint8Array>;
}

/** Bytes read ahead: headers are many small fields. */
const WINDOW = 64 * 1024;
const HINT = "the file was cut or changed";

/** Bytes that are at hand already, as a file of their own. */
export function accessOf(bytes: Uint8Array): RandomAccess {
  return {
    size: bytes.length,
    readAt: (offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)),
  };
}

export class DatCursor {
  at: number;
  readonly size: number;
  private readonly access: RandomAccess;
  private readonly label: string;
  private window: Uint8Array = new Uint8Array(0);
  private windowAt = 0;

  constructor(access: RandomAccess, label: string, at = 0) {
    this.access = access;
    this.label = label;
    this.size = access.size;
    this.at = at;
  }

  /** A cursor of its own at another place of the same file. */
  from(at: number): DatCursor {
    if (at > this.size) throw this.error(`a place beyond the file's end: byte ${at}`);
    return new DatCursor(this.access, this.label, at);
  }

  error(reason: string, hint = HINT, offset = this.at): InputError {
    return new InputError({ file: this.label, offset }, reason, hint);
  }

  /** The next bytes; valid for ever. */
  async bytes(length: number, what: string): Promise<Uint8Array> {
    if (length > this.size - this.at) throw this.error(`the file ends within ${what}`);
    const has = this.windowAt + this.window.length - this.at;
    if (this.at < this.windowAt || has < length) {
      this.window = await this.access.readAt(this.at, Math.max(length, WINDOW));
      this.windowAt = this.at;
      if (this.window.length < length) throw this.error(`the file ends within ${what}`);
    }
    const from = this.at - this.windowAt;
    this.at += length;
    return this.window.slice(from, from + length);
  }

  skip(length: number, what: string): void {
    if (length > this.size - this.at) throw this.error(`the file ends within ${what}`);
    this.at += length;
  }

  async u16(what: string): Promise<number> {
    return view(await this.bytes(2, what)).getUint16(0, true);
  }

  async u32(what: string): Promise<number> {
    return view(await this.bytes(4, what)).getUint32(0, true);
  }

  /** Eight bytes that must be a number that a file can have. */
  async u64(what: string): Promise<number> {
    const v = view(await this.bytes(8, what));
    const n = v.getUint32(0, true) + v.getUint32(4, true) * 2 ** 32;
    if (!Number.isSafeInteger(n)) {
      this.at -= 8;
      throw this.error(`${what} is ${n}`);
    }
    return n;
  }

  /** Text up to a NUL byte, of at most `most` bytes. */
  async string(most: number, what: string): Promise<string> {
    const start = this.at;
    const out: number[] = [];
    for (;;) {
      const [b] = await this.bytes(1, what);
      if (b === 0) return new TextDecoder().decode(Uint8Array.from(out));
      out.push(b);
      if (out.length > most) {
        this.at = start;
        throw this.error(`${what} has more than ${most} bytes`);
      }
    }
  }

  /** Text of so many bytes. */
  async text(length: number, what: string): Promise<string> {
    return new TextDecoder().decode(await this.bytes(length, what));
  }
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
