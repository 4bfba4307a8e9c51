/**
 * The raw ring buffers of an instance, read without waiting: one sub-buffer a read, as
 * the kernel gives them, also those that are not full yet.
 *
 * Facts: tracing_buffers_read() in kernel/trace/trace.c: an empty buffer is EAGAIN.
 */
import { closeSync, constants, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { ioReason } from "../../observe/files/io-error.node.js";
import { InputError } from "../../observe/input-error.js";

export class RawPipes {
  private readonly files: number[] = [];
  private readonly labels: string[];

  /** Opens the buffers of these processors. Throws InputError, with none open. */
  constructor(instance: string, cpus: readonly number[]) {
    this.labels = cpus.map((cpu) => `per_cpu/cpu${cpu}/trace_pipe_raw`);
    try {
      for (const label of this.labels)
        this.files.push(openSync(join(instance, label), constants.O_RDONLY | constants.O_NONBLOCK));
    } catch (error) {
      const file = this.labels[this.files.length];
      this.close();
      throw new InputError({ file }, ioReason(error), "many processors may need ulimit -n");
    }
  }

  /** Reads a sub-buffer of the processor at this place; false where there is nothing now. */
  read(index: number, into: Uint8Array): boolean {
    try {
      return readSync(this.files[index], into, 0, into.length, null) > 0;
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : "";
      // ENODEV: a processor that could be plugged in and has not been yet.
      if (code === "EAGAIN" || code === "ENODEV") return false;
      throw new InputError({ file: this.labels[index] }, ioReason(error));
    }
  }

  close(): void {
    for (const file of this.files.splice(0)) closeSync(file);
  }
}
