/**
 * An open file, as a scenario or a driver holds it.
 *
 * Closed once, every use of it is refused with EBADF; its name may still be
 * unlinked, as it may in a kernel.
 */
import { ERRNO, MmError } from "../errors.js";
import { PAGE_SIZE, type Ref } from "../../units.js";
import { PG_DIRTY } from "../design/word/axis-flags.js";
import { byteArray, copyLength, position } from "./arguments.js";
import { eachSpan } from "./spans.js";
import type { Operations } from "./operations.js";

const NOBODY = 0 as Ref;

/** A file that is open: what `Kernel.createFile` and `Scattered.openDevice` give. */
export class OpenFile {
  readonly kernel: Operations;
  readonly #file: Ref;
  readonly #inode: Ref;
  #open = true;
  #linked: boolean;

  /** `linked`: the inode has a name, which `unlink` takes away. */
  constructor(kernel: Operations, file: Ref, inode: Ref, linked = true) {
    this.#linked = linked;
    this.kernel = kernel;
    this.#file = file;
    this.#inode = inode;
  }

  /** struct file. Throws MmError (EBADF) once it is closed: so does all that needs it. */
  get file(): Ref {
    this.#mustBeOpen();
    return this.#file;
  }

  /** struct inode. Throws MmError (EBADF) once the file is closed. */
  get inode(): Ref {
    this.#mustBeOpen();
    return this.#inode;
  }

  #mustBeOpen(): void {
    if (!this.#open) throw new MmError(ERRNO.EBADF, "use a file", "it was closed");
  }

  /** Bytes. Throws MmError (EBADF). */
  get size(): number {
    return this.kernel.files.size(this.inode);
  }

  /** Pages in the page cache. Throws MmError (EBADF). */
  get cached(): number {
    const { base, files } = this.kernel;
    return base.cache.pages(files.mappingOf(this.inode));
  }

  /** Pages in the page cache that belong to dirty folios. Throws MmError (EBADF). */
  get dirty(): number {
    const { files, base } = this.kernel;
    const { cache, folios, core } = base;
    const mapping = files.mappingOf(this.inode);
    let pages = 0;
    for (let index = 0; ;) {
      const folio = cache.next(mapping, index, 2 ** 31 - 1);
      if (folio === NOBODY) return pages;
      const count = 1 << core.design.orderOf(core.pfnOf(folio));
      if (folios.test(folio, PG_DIRTY)) pages += count;
      index = folios.index(folio) + count;
    }
  }

  /**
   * What the disk holds, whatever the page cache has: zeroes for holes, for what was
   * never written back, past the end, and for files of memory. At most 1 GiB. Throws
   * MmError (EBADF).
   */
  onDisk(offset: number, length: number): Uint8Array {
    const { inode } = this;
    position("onDisk's offset", offset);
    const out = new Uint8Array(copyLength("onDisk's length", length));
    eachSpan(offset, length, (at, from, done, n) => {
      const page = this.kernel.files.stored(inode, Math.floor(at / PAGE_SIZE));
      if (page !== undefined) out.set(page.subarray(from, from + n), done);
    });
    return out;
  }

  /** pread, at most 1 GiB: fewer bytes at the end of the file. Throws MmError (ENOMEM, EBADF). */
  read(offset: number, length: number): Uint8Array {
    position("read's offset", offset);
    copyLength("read's length", length);
    const got = this.kernel.files.read(this.inode, offset, length, NOBODY);
    if (typeof got === "number")
      throw new MmError(-got, `read ${length} bytes at ${offset}`, "no memory");
    return got;
  }

  /** pwrite; the file grows where needed. Throws MmError (ENOMEM, EBADF). */
  write(offset: number, bytes: Uint8Array): void {
    position("write's offset", offset);
    byteArray("what is written", bytes);
    const error = this.kernel.files.write(this.inode, offset, bytes, NOBODY);
    if (error !== 0)
      throw new MmError(-error, `write ${bytes.length} bytes at ${offset}`, "no memory");
  }

  /** ftruncate to `size` bytes. Throws MmError (EBADF). */
  truncate(size: number): void {
    this.kernel.files.truncate(this.inode, position("truncate's size", size));
  }

  /** fallocate with FALLOC_FL_PUNCH_HOLE: bytes become zeroes, whole pages go. Throws MmError (EBADF). */
  punchHole(offset: number, length: number): void {
    position("punchHole's offset", offset);
    position("punchHole's length", length);
    this.kernel.files.punchHole(this.inode, offset, length);
  }

  /** fsync: dirty pages reach the disk. Throws MmError (EBADF). */
  sync(): void {
    this.kernel.files.sync(this.inode);
  }

  /** close; mappings of the file keep its pages. Throws MmError (EBADF) the second time. */
  close(): void {
    this.kernel.base.vmas.putFile(this.file);
    this.#open = false;
  }

  /** unlink: its pages go with the last one who has it open. Throws MmError (ENOENT) without a name. */
  unlink(): void {
    if (!this.#linked) throw new MmError(ERRNO.ENOENT, "unlink a file", "it has no name");
    this.kernel.files.iput(this.#inode);
    this.#linked = false;
  }
}
