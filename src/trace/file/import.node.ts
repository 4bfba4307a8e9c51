/**
 * Any source of events → a sink: how text, ring buffers and trace.dat become trace files.
 *
 * Damage of the source does not fail the import: all events up to it are in the file, and
 * a note says where it was. The caller looks at the source's damage for the exit code.
 */
import { EventBatch } from "../events.js";
import type { TraceSink } from "../sink.js";
import type { EventSource } from "../source.js";

const ROWS = 65_536;

export interface WriteProgress {
  readonly rows: number;
  /** Bytes written, where the sink counts them. */
  readonly bytes: number | null;
}

/** Pumps all events of the source into the sink and ends it; aborts it where either fails. */
export async function writeTrace(
  source: EventSource,
  sink: TraceSink,
  onProgress: (progress: WriteProgress) => void = () => {},
): Promise<WriteProgress> {
  const batch = new EventBatch(ROWS);
  let rows = 0;
  try {
    while (await source.read(batch)) {
      await sink.write(batch);
      rows += batch.length;
      onProgress({ rows, bytes: sink.bytes ?? null });
    }
    const { commands, lost, others, damage } = source;
    const notes = [...source.notes];
    if (damage !== null)
      notes.push({ subject: "imported up to", text: `${damage.where}: ${damage.why}` });
    await sink.end({ commands, lost, others, notes });
  } catch (error) {
    await sink.abort();
    throw error;
  }
  return { rows, bytes: sink.bytes ?? null };
}
