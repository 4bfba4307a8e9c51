/**
 * A Parquet file that is whole or not there: written beside its place, row group by
 * row group, and renamed when its footer is on the disk.
 *
 * hyparquet-writer writes it: kept by the author of hyparquet (releases every few
 * weeks), typed, pure JavaScript with that one dependency, under 1 MB together, and
 * it takes columns a row group at a time, so memory is that of one group. The
 * alternatives were an Arrow build in WebAssembly of several megabytes and parquetjs,
 * whose kept fork asks for a newer Node than we do. Its own file writer blocks, opens
 * the file by name for each piece and has nothing for a full disk; hence the one here.
 */
import { randomBytes } from "node:crypto";
import { rmSync, statSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ByteWriter, type ColumnSource, ParquetWriter, type SchemaElement } from "hyparquet-writer";
import { ioReason } from "../observe/files/io-error.node.js";
import { InputError } from "../observe/input-error.js";

/** Exit code after Ctrl-C, as shells count it: 128 + SIGINT. */
const INTERRUPTED = 130;

export interface ParquetColumn {
  readonly name: string;
  readonly type: "STRING" | "DOUBLE" | "INT32" | "INT64";
  readonly nullable?: boolean;
}

/** Values of one column; of INT64 columns they are bigints. */
export type ParquetValues = Float64Array | Int32Array | BigInt64Array | (string | bigint | null)[];

/** Appends rows, as one row group: an array per column, all of one length. */
export type AppendRows = (columns: readonly ParquetValues[]) => Promise<void>;

/**
 * Lets `fill` append rows to a new file. Throws InputError where it cannot be written;
 * then, and where `fill` throws, there is no file, and what was there before is as it was.
 */
export async function writeParquet(
  file: string,
  columns: readonly ParquetColumn[],
  fill: (append: AppendRows) => Promise<void>,
): Promise<void> {
  const beside = isSpecial(file)
    ? null
    : join(dirname(file), `.${basename(file)}.${randomBytes(6).toString("hex")}.tmp`);
  const interrupted = (): void => {
    if (beside !== null) rmSync(beside, { force: true });
    process.exit(INTERRUPTED);
  };
  process.once("SIGINT", interrupted);
  process.once("SIGTERM", interrupted);
  try {
    const handle = await written(file, open(beside ?? file, beside === null ? "w" : "wx", 0o644));
    try {
      const sink = new HandleWriter(handle, file);
      const parquet = new ParquetWriter({
        writer: sink,
        schema: schemaOf(columns),
        createdBy: "memdesc",
      });
      await fill(async (values) => {
        const columnData = columns.map(({ name }, i): ColumnSource => ({ name, data: values[i] }));
        // One call is one group, however many rows there are in it.
        await parquet.write({ columnData, rowGroupSize: Math.max(1, values[0].length) });
      });
      await parquet.finish();
      if (beside !== null) await written(file, handle.sync());
    } finally {
      await handle.close();
    }
    if (beside !== null) await written(file, rename(beside, file));
  } catch (cause) {
    if (beside !== null) await rm(beside, { force: true });
    throw cause;
  } finally {
    process.off("SIGINT", interrupted);
    process.off("SIGTERM", interrupted);
  }
}

/** Pipes and devices are written in place: there is nothing beside them to rename. */
function isSpecial(file: string): boolean {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found?.isDirectory())
    throw new InputError({ file }, "cannot be written: is a folder", "give a file name");
  return found !== undefined && !found.isFile();
}

async function written<T>(file: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new InputError({ file }, `cannot be written: ${ioReason(error)}`);
  }
}

function schemaOf(columns: readonly ParquetColumn[]): SchemaElement[] {
  return [
    { name: "root", num_children: columns.length },
    ...columns.map(({ name, type, nullable }): SchemaElement => {
      const repetition_type = nullable === true ? "OPTIONAL" : "REQUIRED";
      return type === "STRING"
        ? { name, type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type }
        : { name, type, repetition_type };
    }),
  ];
}

/** Bytes of a row group, handed to the file when it is complete. */
class HandleWriter extends ByteWriter {
  readonly #handle: FileHandle;
  readonly #file: string;

  constructor(handle: FileHandle, file: string) {
    super(1 << 16);
    this.#handle = handle;
    this.#file = file;
  }

  async flush(): Promise<void> {
    const bytes = new Uint8Array(this.buffer, 0, this.index);
    for (let at = 0; at < bytes.length;) {
      const { bytesWritten } = await written(this.#file, this.#handle.write(bytes, at));
      at += bytesWritten;
    }
    this.index = 0;
  }

  override async finish(): Promise<void> {
    await this.flush();
  }
}
