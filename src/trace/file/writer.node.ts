/**
 * Trace files on disk: written beside where they shall be, renamed when whole and on the
 * disk.
 *
 * Until then the file is `NAME.part` (`NAME.2.part` where there is one already, and so on): a
 * trace file without its end. A recorder that is killed leaves it, and it is read like any
 * that was cut. `abort` removes it. Where the disk is full (or fails), events cannot be made
 * again: what is whole is kept under that name, and the error says so; where there is no
 * event, nothing is kept. Signals are the caller's: this hears none.
 */
import { statSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { ioReason } from "../../observe/files/io-error.node.js";
import { InputError } from "../../observe/input-error.js";
import type { EventBatch } from "../events.js";
import type { TraceSink, TraceSummary } from "../sink.js";
import type { TraceAbout } from "../source.js";
import { zlibCodec } from "./codec.node.js";
import type { TraceOrigin } from "./header.js";
import { type ByteSink, TraceWriter } from "./writer.js";

export interface TraceWriterOptions extends TraceOrigin {
  /** Level of zlib, 1 … 9. */
  readonly level?: number;
}

/** Opens a trace file for writing. Throws InputError where there can be none. */
export async function openTraceWriter(
  path: string,
  about: TraceAbout,
  options: TraceWriterOptions = {},
): Promise<TraceFileSink> {
  refuseTarget(path);
  const { file, part } = await openPart(path);
  const sink = new TraceFileSink(path, part, file, options.level);
  await sink.begin(about, options);
  return sink;
}

/** More parts than this are no accident. */
const MOST_PARTS = 1000;

async function openPart(path: string): Promise<{ file: FileHandle; part: string }> {
  for (let n = 1; ; n++) {
    const part = n === 1 ? `${path}.part` : `${path}.${n}.part`;
    try {
      return { file: await open(part, "wx", 0o644), part };
    } catch (error) {
      const taken = error instanceof Error && "code" in error && error.code === "EEXIST";
      if (taken && n < MOST_PARTS) continue;
      throw new InputError({ file: path }, `cannot be written: ${ioReason(error)}`);
    }
  }
}

function refuseTarget(path: string): void {
  let target;
  try {
    target = statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw new InputError({ file: path }, `cannot be written: ${ioReason(error)}`);
  }
  if (target && !target.isFile())
    throw new InputError({ file: path }, "is there and is no regular file", "choose another name");
}

/** A sink that is a file; what it adds is keeping the target whole. */
export class TraceFileSink implements TraceSink {
  private readonly path: string;
  private readonly part: string;
  private readonly file: FileHandle;
  private readonly writer: TraceWriter;
  /** Set when the file is closed: renamed, removed or kept. */
  private over = false;
  private failure: InputError | null = null;

  constructor(path: string, part: string, file: FileHandle, level: number | undefined) {
    this.path = path;
    this.part = part;
    this.file = file;
    this.writer = new TraceWriter(new FileAppender(file), zlibCodec(level));
  }

  get bytes(): number {
    return this.writer.bytes;
  }

  begin(about: TraceAbout, origin: TraceOrigin): Promise<void> {
    return this.kept(() => this.writer.begin(about, origin));
  }

  write(batch: EventBatch): Promise<void> {
    return this.kept(() => this.writer.write(batch));
  }

  /** Ends the block that is being filled, so that a reader of the part sees it. */
  flush(): Promise<void> {
    return this.kept(() => this.writer.flush());
  }

  snapshot(which: "before" | "after", bytes: Uint8Array, at?: number): Promise<void> {
    return this.kept(() => this.writer.snapshot(which, bytes, at));
  }

  text(name: string, content: string): Promise<void> {
    return this.kept(() => this.writer.text(name, content));
  }

  async end(summary: TraceSummary): Promise<void> {
    await this.kept(async () => {
      await this.writer.end(summary);
      await this.file.sync();
    });
    this.over = true;
    try {
      await this.file.close();
      await rename(this.part, this.path);
    } catch (error) {
      await rm(this.part, { force: true });
      throw new InputError({ file: this.path }, `cannot be written: ${ioReason(error)}`);
    }
  }

  async abort(): Promise<void> {
    if (this.over) return;
    this.over = true;
    await this.writer.abort();
    await this.file.close();
    await rm(this.part, { force: true });
  }

  /** Does it; where that fails, keeps what is whole and says where it is. */
  private async kept(work: () => Promise<void>): Promise<void> {
    if (this.failure !== null) throw this.failure;
    if (this.over) throw new Error("the trace file is closed");
    try {
      await work();
    } catch (error) {
      this.failure ??= await this.salvage(error);
      throw this.failure;
    }
  }

  private async salvage(error: unknown): Promise<InputError> {
    this.over = true;
    const { rows, bytes } = this.writer;
    const why = `cannot be written: ${ioReason(error)}`;
    try {
      // Without the section that was cut short.
      await this.file.truncate(bytes);
      await this.file.close();
      if (rows > 0) {
        return new InputError(
          { file: this.path },
          why,
          `the first ${rows} events are in ${this.part}, which can be read`,
        );
      }
      await rm(this.part, { force: true });
    } catch (second) {
      return new InputError({ file: this.path }, `${why}; ${ioReason(second)}`);
    }
    return new InputError({ file: this.path }, why);
  }
}

class FileAppender implements ByteSink {
  private readonly file: FileHandle;
  private at = 0;

  constructor(file: FileHandle) {
    this.file = file;
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length;) {
      const { bytesWritten } = await this.file.write(bytes, from, bytes.length - from, this.at);
      from += bytesWritten;
      this.at += bytesWritten;
    }
  }
}
