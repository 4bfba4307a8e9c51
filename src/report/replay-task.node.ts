/**
 * One design's replay, in a worker or in the calling thread, and what the engine
 * refuses as an answer.
 */
import type { Described } from "../trace/analyse.js";
import { openTrace } from "../trace/open.node.js";
import { type DesignReplay, replayDesign } from "../trace/replay/run.js";
import type { ReplayWhatIf } from "../trace/replay/what-if.js";
import type { Answer } from "./tasks.js";

export interface ReplayTask {
  readonly design: string;
  readonly path: string;
  /** The machine before the trace; all of its frames free where there is no snapshot. */
  readonly before: Described;
  readonly populated: boolean;
  readonly whatIf: ReplayWhatIf;
}

/** Never throws for what the design or the machine refuses. */
export async function replayTask(
  { design, path, before, populated, whatIf }: ReplayTask,
  onProgress: (rows: number) => void,
): Promise<Answer<DesignReplay>> {
  try {
    const result = await replayDesign({
      design,
      open: () => openTrace(path),
      before,
      populated,
      whatIf,
      onProgress,
    });
    return { result };
  } catch (error) {
    if (!(error instanceof Error)) return { broken: String(error) };
    const refusal = ["DesignError", "MmError", "InputError"].includes(error.name);
    return refusal ? { refused: error.message } : { broken: error.stack ?? error.message };
  }
}
