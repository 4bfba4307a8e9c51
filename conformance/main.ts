/**
 * `npm run conformance`: the kernel's HMM self-test cases on every legal design of
 * device memory, or on those that were asked for.
 *
 * Exit 0 where every case holds, 1 where one does not, 2 for arguments that mean
 * nothing and for what could not be run. Ctrl-C ends it tidily, with what was found
 * until then, and 130.
 */
import { CommanderError } from "commander";
import type { Design } from "../src/engine/design/presets.js";
import { readOptions, type Options } from "./options.js";
import { Pool } from "./pool.js";
import { reportJson, reportLines, type Ran } from "./report.js";

const CANNOT = 2;
const INTERRUPTED = 130;
/** Designs after which an estimate is given where nobody sees the progress line. */
const SAMPLE = 20;

function optionsOrLeave(): Options {
  try {
    return readOptions(process.argv.slice(2));
  } catch (error) {
    // Commander has printed its line, or the help.
    if (error instanceof CommanderError) process.exit(error.exitCode === 0 ? 0 : CANNOT);
    throw error;
  }
}

/** Seconds as people say them. */
function time(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Says how far it is: a line that is rewritten on a terminal, else one after some designs. */
class Progress {
  readonly #began = performance.now();
  readonly #total: number;
  readonly #live = process.stderr.isTTY;
  #done = 0;
  #failed = 0;

  constructor(total: number) {
    this.#total = total;
  }

  /** Where a run takes a while and nobody sees the progress line: that it began. */
  begin(what: string): void {
    if (!this.#live && this.#total > SAMPLE) process.stderr.write(`conformance: ${what}\n`);
  }

  get ms(): number {
    return performance.now() - this.#began;
  }

  one(failed: number): void {
    this.#done++;
    this.#failed += failed;
    const left = time((this.ms / 1000 / this.#done) * (this.#total - this.#done));
    const line = `${this.#done} of ${this.#total} designs, ${this.#failed} cases failed, about ${left} left`;
    if (this.#live) process.stderr.write(`\r\u001b[K${line}`);
    else if (this.#done === SAMPLE && this.#total > SAMPLE)
      process.stderr.write(`conformance: ${line}\n`);
  }

  end(): void {
    if (this.#live) process.stderr.write("\r\u001b[K");
  }
}

async function run(options: Options): Promise<void> {
  const { designs, cases, variants, largest, seed, jobs } = options;
  const of = new Map<string, Design>(designs.map((d) => [d.name, d]));
  const found = new Map<string, Ran>();
  const progress = new Progress(of.size);
  const worker = new URL("./worker.js", import.meta.url);
  const pool = new Pool({ selection: { cases, variants }, largest, seed, jobs, worker });
  let interrupted = false;
  const stop = (): void => {
    if (interrupted) process.exit(INTERRUPTED);
    interrupted = true;
    void pool.stop();
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, stop);
  progress.begin(
    `${of.size} designs, ${cases.length} cases in ${variants.join(" and ")}, ${jobs} threads`,
  );
  await pool.run([...of.values()], (done) => {
    const design = of.get(done.design);
    if (design !== undefined) found.set(done.design, { ...done, of: design });
    progress.one(done.results.filter(({ failure }) => failure !== null).length);
  });
  progress.end();
  // In the order of the designs, whatever order they were done in.
  const ran = [...of.keys()].flatMap((name) => found.get(name) ?? []);
  const { ms } = progress;
  const text = options.json
    ? reportJson(ran, of.size, ms)
    : `${reportLines(ran, of.size, ms).join("\n")}${interrupted ? ", interrupted" : ""}\n`;
  process.stdout.write(text);
  const failed = ran.some(({ results }) => results.some(({ failure }) => failure !== null));
  process.exitCode = failed ? 1 : interrupted ? INTERRUPTED : 0;
}

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // Whoever read it has gone.
  if (error.code === "EPIPE") process.exit();
  throw error;
});
try {
  await run(optionsOrLeave());
} catch (error) {
  const text = error instanceof Error ? error.message.split("\n", 1)[0] : String(error);
  process.stderr.write(`conformance: ${text}\n`);
  process.exitCode = CANNOT;
}
