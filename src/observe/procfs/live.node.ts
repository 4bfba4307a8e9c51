/**
 * This machine → Snapshot, from /proc and /sys. Needs root.
 *
 * The page files are read by two threads where there are two CPUs (see
 * `page-segments.node.ts`). A live source changes while it is read: the zone
 * table is read before and after, and where pages were given to a zone
 * meanwhile (deferred initialisation) everything is read again, so that
 * never-initialised frames can be told exactly.
 */
import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { assemble, attempt, TEXT_FILES, type TextFile } from "../assemble.js";
import { btfSizes } from "../btf/btf-sizes.js";
import { InputError } from "../input-error.js";
import { ioReason } from "../files/io-error.node.js";
import type { WorkerAnswer, WorkerTask } from "./live-worker.node.js";
import type { PagesAsked } from "../files/members.node.js";
import { type BuiltPages, PageRunsBuilder } from "../page-runs-builder.js";
import {
  countFrames,
  FRAMES_DONE,
  type PagePaths,
  readSegments,
  type SegmentsRead,
} from "./page-segments.node.js";
import type { Note, Snapshot } from "../snapshot.js";
import type { SysTree } from "./sysfs.js";
import { parseZoneinfo } from "./zoneinfo.js";

/** Called now and then with what is done of what. */
export type Progress = (done: number, total: number, what: string) => void;

export interface LiveOptions {
  readonly pages?: PagesAsked;
  readonly onProgress?: Progress;
  /** Threads that read; by default two where there are two CPUs. */
  readonly threads?: number;
}

/** Where a live Linux is looked for; another root is used by tests. */
const PROC = "/proc";
const SYS = "/sys";

/** Whether this machine's pages can be read, and if not, why not in one line. */
export function canReadLive(): { ok: true } | { ok: false; why: string } {
  if (process.platform !== "linux")
    return { ok: false, why: `this is ${process.platform}, not Linux` };
  const path = `${PROC}/kpageflags`;
  if (!existsSync(path))
    return { ok: false, why: `${path} is not there (kernel without CONFIG_PROC_PAGE_MONITOR)` };
  try {
    accessSync(path, constants.R_OK);
    return countFrames(path) > 0 ? { ok: true } : { ok: false, why: `${path} is empty here` };
  } catch (error) {
    const why = error instanceof InputError ? error.reason : ioReason(error);
    return { ok: false, why: `${path} needs root (${why})` };
  }
}

/** Times the pages are read again because zones grew meanwhile. */
const TRIES = 3;

/** Reads this machine. Throws InputError where it cannot be read. */
export async function readLive(options: LiveOptions = {}): Promise<Snapshot> {
  const can = canReadLive();
  if (!can.ok)
    throw new InputError(
      { file: "this machine" },
      can.why,
      "run as root, or give a capture, folder or tar",
    );
  const asked = options.pages ?? "all";
  const paths: PagePaths = {
    kpageflags: `${PROC}/kpageflags`,
    kpagecount: asked === "all" ? readable(`${PROC}/kpagecount`) : null,
    kpagecgroup: asked === "all" ? readable(`${PROC}/kpagecgroup`) : null,
  };
  const notes: Note[] = [];
  let pages: PagesRead;
  let texts: Partial<Record<TextFile, string>>;
  for (let attempts = 1; ; attempts++) {
    const before = managedOf(procText("zoneinfo", []));
    pages = await readPages(paths, options);
    notes.length = 0;
    texts = procTexts(notes);
    if (before === managedOf(texts.zoneinfo)) break;
    if (attempts < TRIES) continue;
    notes.push({
      subject: "zoneinfo",
      text: "zones grew while the pages were read: never-initialised frames may read as kernel",
    });
    break;
  }
  if (asked === "all") notes.push(...missingPageFiles(paths), ...pages.notes);
  return assemble({
    label: "this machine",
    origin: "live",
    pages: pages.built,
    hasMapcount: paths.kpagecount !== null,
    hasCgroup: paths.kpagecgroup !== null,
    texts,
    sys: liveSys,
    structSizes: asked === "all" ? sizesOf(notes) : null,
    notes,
  });
}

const readable = (path: string): string | null => {
  try {
    accessSync(path, constants.R_OK);
    return path;
  } catch {
    return null;
  }
};

function missingPageFiles(paths: PagePaths): Note[] {
  const notes: Note[] = [];
  if (paths.kpagecount === null)
    notes.push({ subject: "kpagecount", text: "not readable: map counts unknown" });
  if (paths.kpagecgroup === null)
    notes.push({
      subject: "kpagecgroup",
      text: "not readable (kernel without CONFIG_MEMCG?): cgroups unknown",
    });
  return notes;
}

function procText(name: TextFile, notes: Note[]): string | undefined {
  try {
    return readFileSync(`${PROC}/${name}`, "utf8");
  } catch (error) {
    notes.push({ subject: name, text: `not readable (${ioReason(error)})` });
    return undefined;
  }
}

function procTexts(notes: Note[]): Partial<Record<TextFile, string>> {
  const texts: Partial<Record<TextFile, string>> = {};
  for (const name of TEXT_FILES) {
    const text = procText(name, notes);
    if (text !== undefined) texts[name] = text;
  }
  return texts;
}

/** Managed pages of all zones, as one text to compare. */
function managedOf(zoneinfo: string | undefined): string {
  if (zoneinfo === undefined) return "";
  return parseZoneinfo(zoneinfo)
    .zones.map((z) => z.managed)
    .join(" ");
}

function sizesOf(notes: Note[]): Readonly<Record<string, number>> | null {
  try {
    const bytes = readFileSync(`${SYS}/kernel/btf/vmlinux`);
    return attempt("btf", "struct sizes unknown", notes, () => btfSizes(bytes, "btf", notes));
  } catch (error) {
    notes.push({ subject: "btf", text: `not readable (${ioReason(error)}): struct sizes unknown` });
    return null;
  }
}

const liveSys: SysTree = {
  list: (folder) => {
    try {
      return readdirSync(`${SYS}/${folder}`);
    } catch {
      return [];
    }
  },
  read: (path) => {
    try {
      return readFileSync(`${SYS}/${path}`, "utf8");
    } catch {
      return null;
    }
  },
};

interface PagesRead {
  readonly built: BuiltPages;
  readonly notes: readonly Note[];
}

async function readPages(paths: PagePaths, options: LiveOptions): Promise<PagesRead> {
  const frames = countFrames(paths.kpageflags);
  const shared = new Int32Array(new SharedArrayBuffer(8));
  const threads = options.threads ?? Math.min(2, availableParallelism());
  const other = threads > 1 ? startWorker({ paths, frames, shared }) : null;
  const report = options.onProgress;
  let mine: SegmentsRead;
  try {
    mine = readSegments(
      paths,
      frames,
      shared,
      report && (() => report(Atomics.load(shared, FRAMES_DONE), frames, "page frames")),
    );
  } catch (error) {
    await other?.stop();
    throw error;
  }
  const reads = other ? [mine, await other.answer] : [mine];
  const segments = reads.flatMap((r) => r.segments).sort((a, b) => a.index - b.index);
  const builder = new PageRunsBuilder();
  for (const s of segments) builder.appendBuilt(s.pages);
  report?.(frames, frames, "page frames");
  return { built: builder.finish(), notes: shortNotes(reads) };
}

function shortNotes(reads: readonly SegmentsRead[]): Note[] {
  const notes: Note[] = [];
  for (const name of ["kpagecount", "kpagecgroup"] as const) {
    const short = reads.reduce((n, r) => n + r.short[name], 0);
    if (short > 0)
      notes.push({
        subject: name,
        text: `does not cover ${short} frames of kpageflags; taken as 0 there`,
      });
  }
  return notes;
}

interface Other {
  readonly answer: Promise<SegmentsRead>;
  stop(): Promise<unknown>;
}

/** The second thread; null where its file is not built (sources run as they are). */
function startWorker(task: WorkerTask): Other | null {
  const file = new URL("./live-worker.node.js", import.meta.url);
  if (!existsSync(fileURLToPath(file))) return null;
  const worker = new Worker(file, { workerData: task });
  const answer = new Promise<SegmentsRead>((resolve, reject) => {
    worker.once("message", (message: WorkerAnswer) => {
      if (message.ok) resolve(message.read);
      else reject(new InputError({ file: message.file }, message.reason));
    });
    worker.once("error", reject);
  });
  // Where this thread is refused first, nobody waits for the other one's answer.
  answer.catch(() => undefined);
  return { answer, stop: () => worker.terminate() };
}
