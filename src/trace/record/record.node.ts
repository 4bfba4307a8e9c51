/**
 * A recording from beginning to end: an instance of our own, its events on, the state
 * of the machine before, the command, the state after, and everything away again.
 *
 * The trace runs before the first page of the before-state is read and until the last
 * of the after-state has been: what happens while a state is read is then in the trace,
 * and belongs to neither side by accident. The machine's trace settings are as before
 * whatever happens: the instance is removed when the recording ends or fails, at the
 * latest when the process does, and by the next recording where it was killed.
 */
import { release } from "node:os";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ioReason } from "../../observe/files/io-error.node.js";
import { InputError } from "../../observe/input-error.js";
import type { TraceSink } from "../sink.js";
import type { TraceAbout, TraceNote } from "../source.js";
import { readFormats } from "../ring/choose-formats.js";
import { parseRingStats, type RingStats } from "../ring/stats.js";
import { Command } from "./command.node.js";
import { Drain, monotonic } from "./drain.node.js";
import { type InstanceSettings, removeStaleInstances, TraceInstance } from "./instance.node.js";
import { LiveMerge, type WriteBatch } from "./live-merge.js";
import { RawPipes } from "./pipes.node.js";
import type { CommandEnd, Recorded, RecordOptions, RecordProgress } from "./recording.js";
import { sampleText, Sampling } from "./sampling.node.js";
import { OwnTasks, TraceTasks } from "./tasks.node.js";
import { openTracefs, type Tracefs } from "./tracefs.node.js";
import { aborted, pause, unlessFailed } from "./waiting.js";

/** Milliseconds between two sweeps, and after one that left something. */
const PERIOD = 40;
const SOON = 2;
/** Milliseconds that a command may need to heed the Ctrl-C that it got with us. */
const OWN_INTERRUPT = 2000;

/** Records. Throws InputError; then nothing is left of it, the sink's target included. */
export async function record(options: RecordOptions): Promise<Recorded> {
  const tracefs = openTracefs();
  try {
    for (const name of removeStale(tracefs, options))
      options.onNote({ subject: name, text: "left by a recording that was killed; removed" });
    return await new Recording(tracefs, options).run();
  } finally {
    tracefs.close();
  }
}

function removeStale(tracefs: Tracefs, options: RecordOptions): readonly string[] {
  const stale = removeStaleInstances(tracefs.root);
  for (const { subject, text } of stale.kept)
    options.onNote({ subject, text: `of no process here, and not removed: ${text}` });
  return stale.removed;
}

interface State {
  readonly bytes: Uint8Array;
  readonly at: number;
}

class Recording {
  private readonly options: RecordOptions;
  private readonly root: string;
  private readonly instance: TraceInstance;
  private readonly cpus: readonly number[];
  private readonly pipes: RawPipes;
  private readonly merge: LiveMerge;
  private readonly drain: Drain;
  private readonly about: TraceAbout;
  private readonly notes: TraceNote[] = [];
  private readonly tasks: TraceTasks;
  private readonly own: OwnTasks;
  private readonly sampling: Sampling | null;
  private begun = performance.now();
  private sink: TraceSink | null = null;
  private command: Command | null = null;
  private draining = true;
  /** Rows wait until the state before them is in the sink. */
  private held = true;

  constructor(tracefs: Tracefs, options: RecordOptions) {
    this.options = options;
    this.root = tracefs.root;
    const settings: InstanceSettings = { clock: "mono", bufferKib: options.bufferKib };
    this.instance = new TraceInstance(this.root, settings);
    this.own = new OwnTasks(this.instance, options.leaveOutOwn);
    this.tasks = new TraceTasks(this.root, this.own);
    process.once("exit", this.onExit);
    options.force.addEventListener("abort", () => this.command?.kill(), { once: true });
    try {
      const { formats, lacking, notes } = this.instance.enableEvents();
      for (const note of notes) this.note(note);
      if (lacking.length > 0)
        this.note({ subject: "events", text: `this kernel lacks ${lacking.join(", ")}` });
      for (const name of ["header_page", "header_event"]) formats.set(name, this.headerFile(name));
      const { header, table } = readFormats({ label: "events", kernel: release(), files: formats });
      for (const note of table.notes) this.note(note);
      this.cpus = this.instance.cpus();
      this.pipes = new RawPipes(this.instance.path, this.cpus);
      this.merge = new LiveMerge(this.cpus, header, table);
      this.drain = new Drain(this.pipes, this.merge, this.cpus.length);
      const { sampleEvery } = options;
      this.sampling = sampleEvery === null ? null : new Sampling(sampleEvery);
      this.about = {
        label: options.label,
        format: "ring",
        kernel: release(),
        clock: "mono",
        cpus: Math.max(...this.cpus) + 1,
        recorded: table.known,
      };
    } catch (error) {
      this.cleanUp();
      process.off("exit", this.onExit);
      throw error;
    }
  }

  async run(): Promise<Recorded> {
    let sink: TraceSink | null = null;
    try {
      sink = await this.options.openSink(this.about);
      this.sink = sink;
      this.own.refresh();
      const cpuBefore = process.cpuUsage();
      this.instance.start();
      this.begun = performance.now();
      // One of the two ends first; the other must not be lost where it fails.
      const drained = this.drainUntilDone(sink);
      drained.catch(() => {});
      const before = await unlessFailed(drained, this.takeState("before"));
      if (before !== null) await sink.snapshot("before", before.bytes, before.at);
      this.held = false;
      if (this.options.command.length > 0 && !this.options.stop.aborted)
        this.command = new Command(this.options.command);
      // After the start of the command, which would inherit it.
      this.own.hurry();
      await unlessFailed(drained, this.end(this.command));
      const after = await unlessFailed(drained, this.stateAfter());
      this.instance.stop();
      this.draining = false;
      await drained;
      await this.drain.finish(this.writer(sink));
      await this.finishSamples(sink);
      this.sayOwn();
      if (after !== null) await sink.snapshot("after", after.bytes, after.at);
      const lostByCpu = this.countLost();
      const cpu = process.cpuUsage(cpuBefore);
      const seconds = this.seconds();
      await this.removeInstance();
      await sink.end({
        commands: this.tasks.names(),
        lost: lostByCpu,
        others: this.others(),
        notes: this.notes,
      });
      const { ended, cut } = await this.endCommand(this.command);
      return {
        ...this.progress(),
        seconds,
        lost: lostByCpu.reduce((sum, n) => sum + Math.max(0, n), 0),
        lostByCpu,
        command: ended,
        cut,
        cpuSeconds: (cpu.user + cpu.system) / 1e6,
      };
    } catch (error) {
      this.draining = false;
      this.cleanUp();
      await sink?.abort();
      await this.command?.stop().catch(() => {});
      throw error;
    } finally {
      this.cleanUp();
      process.off("exit", this.onExit);
    }
  }

  /** Empties the buffers and hands on what is in order, until told to end or until something fails. */
  private async drainUntilDone(sink: TraceSink): Promise<void> {
    const goesOn = (): boolean => this.draining;
    const samples = this.sampling?.run(goesOn);
    await Promise.all([this.sweepUntilDone(), this.handOnUntilDone(sink), samples]);
    this.tasks.readNames();
  }

  /** Waits for nothing but time: what the sink takes long for must not fill the kernel's buffers. */
  private async sweepUntilDone(): Promise<void> {
    while (this.draining) {
      this.own.refresh();
      this.tasks.tick();
      this.drain.sweep();
      this.options.onProgress(this.progress());
      // A busy machine must not keep timers and signals from being heard.
      await pause(this.drain.behind ? SOON : PERIOD);
    }
  }

  private async handOnUntilDone(sink: TraceSink): Promise<void> {
    const write = this.writer(sink);
    while (this.draining) {
      if (!this.held) {
        await this.drain.handOn(write);
        // Rows that wait for a full batch would be seen when their frames are old or gone.
        if (this.sampling !== null) await this.merge.flush(write);
      }
      await pause(PERIOD / 2);
    }
  }

  private writer(sink: TraceSink): WriteBatch {
    const write: WriteBatch = (batch) => {
      this.tasks.count(batch);
      return sink.write(batch);
    };
    return this.sampling?.sampler.through(write) ?? write;
  }

  /** Samples that waited for the last rows. */
  private async finishSamples(sink: TraceSink): Promise<void> {
    const { sampling } = this;
    if (sampling === null) return;
    await sampling.sampler.finish((batch) => sink.write(batch));
    const text = sampleText(sampling.sampler.counts(), sampling.every, sampling.spent);
    this.note({ subject: "samples", text });
  }

  private sayOwn(): void {
    const { ownEvents } = this.tasks;
    let text = `${ownEvents} of the events are its own`;
    if (this.own.leftOut) text = `its own events are left out, but for ${ownEvents}`;
    else if (this.options.leaveOutOwn) text += "; this kernel cannot leave them out";
    this.note({ subject: "recorder", text });
  }

  /** Resolves when the recording is to end: the command did, the time is over, or we were told. */
  private async end(command: Command | null): Promise<void> {
    const { stop, limit } = this.options;
    const ends: Promise<unknown>[] = [aborted(stop)];
    let timer: NodeJS.Timeout | undefined;
    if (command !== null) ends.push(command.ended);
    if (limit !== null) {
      ends.push(
        new Promise<void>((resolve) => {
          timer = setTimeout(resolve, limit);
        }),
      );
    }
    try {
      await Promise.race(ends);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The instance's own where it has one (sub-buffers may differ in size), else the kernel's. */
  private headerFile(name: string): string {
    const own = join(this.instance.path, "events", name);
    const path = existsSync(own) ? own : join(this.root, "events", name);
    try {
      return readFileSync(path, "utf8");
    } catch (error) {
      throw new InputError({ file: `events/${name}` }, ioReason(error));
    }
  }

  /** The state after, unless there is to be none or nobody waits for it. */
  private async stateAfter(): Promise<State | null> {
    const { force } = this.options;
    const state = this.takeState("after");
    state.catch(() => {});
    const taken = await Promise.race([state, aborted(force).then(() => undefined)]);
    if (taken !== undefined) return taken;
    this.note({ subject: "state after", text: "not there: the recording was ended at once" });
    return null;
  }

  /** The state and the time before which everything in the trace is in it. */
  private async takeState(which: "before" | "after"): Promise<State | null> {
    if (this.options.takeSnapshot === null) return null;
    const at = monotonic();
    try {
      const bytes = await this.options.takeSnapshot();
      const text = `read between ${clock(at)} s and ${clock(monotonic())} s of the trace's clock`;
      this.notes.push({ subject: `state ${which}`, text });
      return { bytes, at };
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.note({ subject: `state ${which}`, text: `not there: ${error.reason}` });
      return null;
    }
  }

  /** A command that outlived the recording is ended; one that was interrupted with us may do so itself. */
  private async endCommand(
    command: Command | null,
  ): Promise<{ ended: CommandEnd | null; cut: boolean }> {
    if (command === null) return { ended: null, cut: false };
    let cut = true;
    const first = await Promise.race([command.ended, pause(0)]);
    if (first !== undefined) cut = false;
    const grace = this.options.stop.reason === "SIGINT" ? OWN_INTERRUPT : 0;
    return { ended: await command.stop(grace), cut };
  }

  /** Lost events by processor: what the ring said, or the kernel's own count where that is more. */
  private countLost(): number[] {
    const lost = Array.from({ length: this.about.cpus }, () => 0);
    for (const [i, cpu] of this.cpus.entries()) {
      const stats = this.stats(cpu);
      const said = this.merge.lost(i);
      lost[cpu] = Math.max(said, stats?.lost ?? 0) || said;
      if (stats !== null && stats.readEvents !== this.merge.events(i)) {
        const text = `the kernel gave ${stats.readEvents} events of cpu ${cpu}, ${this.merge.events(i)} were decoded`;
        this.note({ subject: "ring buffer", text });
      }
    }
    for (const [why, n] of this.merge.faults)
      this.note({ subject: "ring buffer", text: `${n} sub-buffers cut short: ${why}` });
    if (this.merge.late > 0) {
      const text = `${this.merge.late} came after their time and were given a later one`;
      this.note({ subject: "events", text });
    }
    return lost;
  }

  private stats(cpu: number): RingStats | null {
    try {
      return parseRingStats(this.instance.read(`per_cpu/cpu${cpu}/stats`));
    } catch (error) {
      if (error instanceof InputError) return null;
      throw error;
    }
  }

  private others(): Map<string, number> {
    const others = new Map<string, number>();
    for (const [id, n] of this.merge.tally.others.entries())
      if (n > 0) others.set(`event ${id}`, n);
    return others;
  }

  /** Since the trace runs. */
  private seconds(): number {
    return (performance.now() - this.begun) / 1000;
  }

  private progress(): RecordProgress {
    let lost = 0;
    for (let i = 0; i < this.cpus.length; i++) lost += Math.max(0, this.merge.lost(i));
    return {
      seconds: this.seconds(),
      events: this.merge.rows,
      lost,
      bytes: this.drain.bytes,
      written: this.sink?.bytes ?? null,
    };
  }

  private note(note: TraceNote): void {
    this.notes.push(note);
    this.options.onNote(note);
  }

  /** Removes the instance; somebody who just looks into it may keep it busy for a moment. */
  private async removeInstance(): Promise<void> {
    this.pipes.close();
    for (let left = 20; ; left--) {
      try {
        this.instance.remove();
        return;
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        if (left === 0) {
          this.note({ subject: error.file, text: `${error.reason}; rmdir it by hand` });
          return;
        }
        await pause(50);
      }
    }
  }

  private readonly onExit = (): void => {
    this.command?.kill();
    this.cleanUp();
  };

  /** Synchronous, for the end of the process; where all is away already it does nothing. */
  private readonly cleanUp = (): void => {
    try {
      // Not there yet where the constructor failed.
      (this.pipes as RawPipes | undefined)?.close();
      (this.sampling as Sampling | null | undefined)?.close();
      this.instance.remove();
    } catch {
      // The next recording removes what could not be removed now.
    }
  };
}

const clock = (nanoseconds: number): string => (nanoseconds / 1e9).toFixed(6);
