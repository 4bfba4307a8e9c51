/**
 * A ring buffer in the manner of perf: the kernel writes records, a process reads
 * them in its mapping and passes them on with write(), which takes the pages by
 * GUP.
 *
 * One control page (data_head at byte 0, data_tail at 8) and 2^order data pages.
 * perf's write() from its own mmap area is what makes "no GUP" hurt: Hildenbrand,
 * 2024-11-29 (memdesc-facts §4.1).
 *
 * Source: kernel/events/ring_buffer.c of 6.18 (rb_alloc with vmalloc_user,
 * __perf_output_begin). Simplified: records are bytes, no lost records, one
 * writer.
 */
import { MmError } from "../../errors.js";
import { PAGE_SIZE } from "../../../units.js";
import { byteArray, wholeNumber } from "../arguments.js";
import { FOLL_PIN } from "../gup.js";
import type { OpenFile } from "../open-file.js";
import type { Process } from "../process.js";
import type { Area, UserMapOptions } from "./area.js";
import type { FreeReport } from "./scattered-base.js";

const HEAD = 0;
const TAIL = 8;

/** A ring buffer: what `Scattered.ringBuffer` gives. Freed once, it is refused (EINVAL). */
export class RingBuffer {
  readonly area: Area;
  /** Bytes of data that it holds. */
  readonly size: number;

  constructor(area: Area) {
    this.area = area;
    this.size = (area.pages - 1) * PAGE_SIZE;
  }

  #cursor(at: number): number {
    const b = this.area.read(at, 4);
    return new DataView(b.buffer).getUint32(0, true);
  }

  /** Bytes written so far (data_head, in the control page). */
  get head(): number {
    return this.#cursor(HEAD);
  }

  /** Bytes read so far (data_tail). */
  get tail(): number {
    return this.#cursor(TAIL);
  }

  /** The kernel writes a record. Throws MmError (ENOSPC) where the reader is too far behind. */
  emit(record: Uint8Array): void {
    byteArray("a record", record);
    const head = this.head;
    if (head + record.length - this.tail > this.size)
      throw new MmError(28, `a record of ${record.length} bytes`, "the reader is behind");
    for (let i = 0; i < record.length;) {
      const at = (head + i) % this.size;
      const n = Math.min(record.length - i, this.size - at);
      this.area.write(PAGE_SIZE + at, record.subarray(i, i + n));
      i += n;
    }
    this.area.write(HEAD, word(head + record.length));
  }

  /** Maps it into a process: the control page first, data behind it. Refusals as `Area.mmap`. */
  mmap(process: Process, options: UserMapOptions = {}): number {
    return this.area.mmap(process, options);
  }

  /**
   * write(file) with O_DIRECT, from the process's own mapping of the data at
   * `addr`: `length` bytes that the process has not passed on yet. Throws MmError
   * (EFAULT) where the mapping cannot be pinned, RangeError for more than there is.
   */
  writeOut(process: Process, addr: number, length: number, file: OpenFile): void {
    wholeNumber("what is written out", length, 0, this.head - this.tail);
    const from = this.tail % this.size;
    const n = Math.min(length, this.size - from);
    const pages = process.gup(addr + PAGE_SIZE + from, n, FOLL_PIN);
    file.write(file.size, pages.read(0, n));
    pages.release();
    this.area.write(TAIL, word(this.tail + n));
    if (n < length) this.writeOut(process, addr, length - n, file);
  }

  /** vfree. Throws MmError (EINVAL) the second time. */
  free(): FreeReport {
    return this.area.free();
  }
}

function word(n: number): Uint8Array {
  const b = new Uint8Array(4);
  new DataView(b.buffer).setUint32(0, n, true);
  return b;
}
