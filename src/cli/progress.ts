/**
 * Progress on stderr: nothing in the first second, then on a terminal one line
 * that is rewritten (with an estimate of what is left) and wiped at the end, and
 * elsewhere a single plain line (none where less than a second is left), so that
 * a log is not filled.
 */
export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Milliseconds before a person wonders whether anything happens. */
const PATIENCE_MS = 1000;
/** Milliseconds between two lines on a terminal. */
const REDRAW_MS = 100;

export class Progress {
  private readonly stream: ProgressStream;
  private readonly now: () => number;
  private readonly began: number;
  private drawn = 0;
  private shown = false;

  constructor(stream: ProgressStream, now: () => number = () => performance.now()) {
    this.stream = stream;
    this.now = now;
    this.began = now();
  }

  /** `done` of `total` (0 where unknown) of what `what` says: `reading kpageflags`. */
  update(what: string, done: number, total: number): void {
    const now = this.now();
    if (now - this.began < PATIENCE_MS || done >= total) return;
    if (this.stream.isTTY !== true) {
      if (done > 0 && this.secondsLeft(done, total, now) < 1) return;
      if (!this.shown) this.stream.write(`memdesc: ${this.text(what, done, total, now)}\n`);
      this.shown = true;
      return;
    }
    if (now - this.drawn < REDRAW_MS) return;
    this.drawn = now;
    this.shown = true;
    this.stream.write(`\r\u001b[K${this.text(what, done, total, now)}`);
  }

  /** Wipes the line; call before anything else is printed. */
  finish(): void {
    if (this.shown && this.stream.isTTY === true) this.stream.write("\r\u001b[K");
    this.shown = this.stream.isTTY !== true && this.shown;
  }

  private text(what: string, done: number, total: number, now: number): string {
    if (done <= 0) return `${what} …`;
    const percent = Math.floor((100 * done) / total);
    const left = Math.max(1, Math.round(this.secondsLeft(done, total, now)));
    return `${what} … ${percent} %, about ${left} s left`;
  }

  private secondsLeft(done: number, total: number, now: number): number {
    return (((now - this.began) / done) * (total - done)) / 1000;
  }
}
