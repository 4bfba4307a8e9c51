/**
 * The command whose memory is recorded: started when the trace runs, told to end when
 * the recording ends before it, never left unnoticed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { ioReason } from "../../observe/files/io-error.node.js";
import { InputError } from "../../observe/input-error.js";
import type { CommandEnd } from "./recording.js";

/** Milliseconds that a command has after SIGTERM, and that it has to heed its own Ctrl-C. */
const GRACE = 5000;

export class Command {
  /** Resolves when it has ended. Rejects with an InputError where it could not be started. */
  readonly ended: Promise<CommandEnd>;
  private readonly child: ChildProcess;

  constructor(words: readonly string[]) {
    const [file, ...args] = words;
    this.child = spawn(file, args, { stdio: "inherit" });
    this.ended = new Promise((resolve, reject) => {
      this.child.once("error", (error) => {
        reject(new InputError({ file }, `cannot be started: ${ioReason(error)}`));
      });
      this.child.once("exit", (code, signal) => resolve({ code, signal }));
    });
    // Whoever waits for it hears of it; nobody may, where something else fails first.
    this.ended.catch(() => {});
  }

  /**
   * Ends it, unless it has ended: SIGTERM, after `grace` where it may be ending by
   * itself, and SIGKILL at last.
   */
  async stop(grace = 0): Promise<CommandEnd> {
    const timers = [
      setTimeout(() => this.child.kill("SIGTERM"), grace),
      setTimeout(() => this.child.kill("SIGKILL"), grace + GRACE),
    ];
    try {
      return await this.ended;
    } finally {
      for (const timer of timers) clearTimeout(timer);
    }
  }

  /** At once and without asking. */
  kill(): void {
    this.child.kill("SIGKILL");
  }
}
