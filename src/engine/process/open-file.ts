/**
 * An open file, as a scenario or a driver holds it.
 */
import { MmError } from "../errors.js";
import type { Ref } from "../../units.js";
import type { Operations } from "./operations.js";

const NOBODY = 0 as Ref;

export class OpenFile {
  readonly kernel: Operations;
  /** struct file. */
  readonly file: Ref;
  readonly inode: Ref;
  #open = true;
  #linked: boolean;

  /** `linked`: the inode has a name, which `unlink` takes away. */
  constructor(kernel: Operations, file: Ref, inode: Ref, linked = true) {
    this.#linked = linked;
    this.kernel = kernel;
    this.file = file;
    this.inode = inode;
  }

  /** Bytes. */
  get size(): number {
    return this.kernel.files.size(this.inode);
  }

  /** Pages in the page cache. */
  get cached(): number {
    const { base, files } = this.kernel;
    return base.cache.pages(files.mappingOf(this.inode));
  }

  /** pread: fewer bytes at the end of the file. Throws MmError (ENOMEM). */
  read(offset: number, length: number): Uint8Array {
    const got = this.kernel.files.read(this.inode, offset, length, NOBODY);
    if (typeof got === "number")
      throw new MmError(-got, `read ${length} bytes at ${offset}`, "no memory");
    return got;
  }

  /** pwrite; the file grows where needed. Throws MmError (ENOMEM). */
  write(offset: number, bytes: Uint8Array): void {
    const error = this.kernel.files.write(this.inode, offset, bytes, NOBODY);
    if (error !== 0)
      throw new MmError(-error, `write ${bytes.length} bytes at ${offset}`, "no memory");
  }

  /** ftruncate */
  truncate(size: number): void {
    this.kernel.files.truncate(this.inode, size);
  }

  /** fallocate with FALLOC_FL_PUNCH_HOLE. */
  punchHole(offset: number, length: number): void {
    this.kernel.files.punchHole(this.inode, offset, length);
  }

  /** fsync: dirty pages reach the disk. */
  sync(): void {
    this.kernel.files.sync(this.inode);
  }

  /** close; mappings of the file keep it open. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.kernel.base.vmas.putFile(this.file);
  }

  /** unlink: its pages go with the last one who has it open. */
  unlink(): void {
    if (!this.#linked) return;
    this.#linked = false;
    this.kernel.files.iput(this.inode);
  }
}
