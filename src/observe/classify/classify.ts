/**
 * Snapshot → objects: what each stretch of frames is, grouped into the things
 * the kernel allocated.
 *
 * The kind of a page is decided once per distinct flag word (`word-kinds.ts`),
 * what no flag says (absent, never initialised) by ranges (`ranges.ts`); here
 * a head and its tails become one object, neighbours that are equal become one
 * run, and frames whose words contradict each other are told apart as torn.
 * Time goes with runs, never with pages. Facts: fs/proc/page.c, memdesc-facts
 * §7.2 and §7.4.
 */
import { type Kind, kindId } from "../kinds.js";
import { CGROUP_VARIES, type Classification, FLAGS_VARY, VARIES } from "../objects.js";
import { ObjectRunsBuilder } from "./object-runs-builder.js";
import { type FrameRange, nameRanges } from "./ranges.js";
import type { Snapshot } from "../snapshot.js";
import { tailDialect } from "./tail-dialect.js";
import { HEAD, TAIL, wordTable, type WordTable } from "./word-kinds.js";

const FREE = kindId("free");

/** What every frame of a snapshot is, and the objects that frames belong to. */
export function classify(snapshot: Snapshot): Classification {
  const table = wordTable(snapshot);
  const dialect = tailDialect(snapshot, table);
  const { ranges, reasons } = nameRanges(snapshot);
  const walk = new Walk(snapshot, table, dialect);
  walk.all(ranges);
  return {
    objects: walk.out.finish(),
    tailFlags: dialect,
    ksmUnknown: table.ksmUnknown,
    torn: { frames: walk.tornFrames, runs: walk.torn },
    reasons,
  };
}

/** One pass over the runs of a snapshot. */
class Walk {
  readonly out = new ObjectRunsBuilder();
  readonly torn: { start: number; end: number; why: string }[] = [];
  tornFrames = 0;
  private readonly snapshot: Snapshot;
  private readonly table: WordTable;
  private readonly dialect: "own" | "folio";
  /** Run that is looked at, and the next frame of it. */
  private run = 0;
  private at = 0;

  constructor(snapshot: Snapshot, table: WordTable, dialect: "own" | "folio") {
    this.snapshot = snapshot;
    this.table = table;
    this.dialect = dialect;
  }

  /** Walks everything; `ranges` are the frames whose kind no flag word says. */
  all(ranges: readonly FrameRange[]): void {
    const frames = this.snapshot.frames;
    for (const r of ranges) {
      this.byWords(r.start);
      this.asKind(r.end, r.kind);
    }
    this.byWords(frames);
  }

  /** Frames up to `end` are of this kind whatever their words say. */
  private asKind(end: number, kind: Kind): void {
    const id = kindId(kind);
    const { runs } = this.snapshot;
    while (this.at < end) {
      const stop = Math.min(end, runs.start[this.run + 1]);
      this.single(this.at, stop - this.at, this.run, id);
      this.step(stop);
    }
  }

  /** Frames up to `end` by their flag words. */
  private byWords(end: number): void {
    const { runs } = this.snapshot;
    const { shape } = this.table;
    while (this.at < end) {
      const stop = Math.min(end, runs.start[this.run + 1]);
      const what = shape[runs.flags[this.run]];
      if (what === HEAD) this.heads(stop, end);
      else if (what === TAIL) {
        this.tear(this.at, stop, "a tail without a head");
        this.loose(stop);
      } else this.plain(stop);
    }
  }

  private plain(stop: number): void {
    const { runs } = this.snapshot;
    const word = runs.flags[this.run];
    if (
      this.table.kind[word] === FREE &&
      runs.mapcount[this.run] !== 0 &&
      this.snapshot.hasMapcount
    ) {
      this.tear(this.at, stop, "free and mapped");
    }
    this.loose(stop);
  }

  /** Frames up to `stop`, inside one run, as single pages of their word's kind. */
  private loose(stop: number): void {
    this.single(
      this.at,
      stop - this.at,
      this.run,
      this.table.kind[this.snapshot.runs.flags[this.run]],
    );
    this.step(stop);
  }

  /** A run of heads: all but the last have no tail. */
  private heads(stop: number, end: number): void {
    if (stop - this.at > 1) {
      this.tear(this.at, stop - 1, "a head without tails");
      this.loose(stop - 1);
    }
    this.compound(end);
  }

  /** The head at `this.at` and the tails after it. */
  private compound(end: number): void {
    const { runs } = this.snapshot;
    const { shape, kind } = this.table;
    const head = this.at;
    const headRun = this.run;
    const headWord = runs.flags[headRun];
    let run = headRun + 1;
    let stop = head + 1;
    let mapcount = runs.mapcount[headRun];
    let cgroup = runs.cgroup[headRun];
    let tailWord = -1;
    let unlike = false;
    while (run < runs.length && runs.start[run] < end && shape[runs.flags[run]] === TAIL) {
      const word = runs.flags[run];
      if (tailWord < 0) tailWord = word;
      else if (word !== tailWord) tailWord = FLAGS_VARY;
      if (this.dialect === "folio" && !this.table.tailFits(headWord, word)) unlike = true;
      if (runs.mapcount[run] !== mapcount) mapcount = VARIES;
      if (runs.cgroup[run] !== cgroup) cgroup = CGROUP_VARIES;
      stop = Math.min(end, runs.start[run + 1]);
      run++;
    }
    const pages = stop - head;
    const why = shapeObjection(head, pages);
    if (why === null) {
      // Still one object: only what its pages say about it has changed.
      if (unlike) this.tear(head, stop, "tails unlike their head");
      this.out.add(head, 1, pages, kind[headWord], headWord, tailWord, mapcount, cgroup);
      this.step(stop);
      return;
    }
    this.tear(head, stop, why);
    while (this.at < stop) this.loose(Math.min(stop, runs.start[this.run + 1]));
  }

  private single(start: number, count: number, run: number, kind: number): void {
    const { runs } = this.snapshot;
    const word = runs.flags[run];
    this.out.add(start, count, 1, kind, word, word, runs.mapcount[run], runs.cgroup[run]);
  }

  private tear(start: number, end: number, why: string): void {
    this.tornFrames += end - start;
    const last = this.torn[this.torn.length - 1];
    if (last && last.end === start && last.why === why) last.end = end;
    else this.torn.push({ start, end, why });
  }

  /** Goes on at frame `at`, which is in this run or begins one after it. */
  private step(at: number): void {
    const { runs } = this.snapshot;
    this.at = at;
    while (this.run < runs.length && runs.start[this.run + 1] <= at) this.run++;
  }
}

/** Why a head and its tails are no object, or null. */
function shapeObjection(head: number, pages: number): string | null {
  if (pages === 1) return "a head without tails";
  if ((pages & (pages - 1)) !== 0) return "a head and tails that are no power of two";
  if (head % pages !== 0) return "a head not aligned to the size of its object";
  return null;
}
