/**
 * Threads of a step: each runs until it ends or has to wait; who waits goes on
 * once what it waits for has come. Which thread runs when is fixed: the first
 * that can, in the order in which they are named, until it ends or waits. Every
 * other order is the business of a checker (docs/checking.md).
 */
import type { Content } from "../engine/process/content.js";
import type { ThreadedWords, Waiting } from "./threaded-words.js";

/** What happened to a thread. */
export interface ThreadEvent {
  readonly thread: string;
  readonly what: "waits" | "goes on" | "ends";
  /** What it waits for. */
  readonly wait: Waiting | null;
}

export interface ThreadsRun {
  readonly events: readonly ThreadEvent[];
  /** Threads that wait for ever, and what for; empty where all have ended. */
  readonly stuck: readonly ThreadEvent[];
}

interface Thread {
  readonly name: string;
  readonly does: () => void;
  readonly log: number[];
  wait: Waiting | null;
  ended: boolean;
}

/** Runs the threads until all have ended or none can go on. */
export function runThreads(
  words: ThreadedWords,
  content: Content,
  functions: Readonly<Record<string, () => void>>,
): ThreadsRun {
  const events: ThreadEvent[] = [];
  const threads = Object.entries(functions).map(([name, does]): Thread => ({
    name,
    does,
    log: [],
    wait: null,
    ended: false,
  }));
  const canRun = (t: Thread): boolean => !t.ended && (t.wait === null || t.wait.isOver(words));
  for (let t = threads.find(canRun); t !== undefined; t = threads.find(canRun)) {
    const starts = t.wait === null;
    if (!starts) events.push({ thread: t.name, what: "goes on", wait: null });
    t.wait = words.runThread(t.log, starts, content, t.does);
    t.ended = t.wait === null;
    events.push({ thread: t.name, what: t.ended ? "ends" : "waits", wait: t.wait });
  }
  const stuck = threads
    .filter((t) => !t.ended)
    .map((t): ThreadEvent => ({ thread: t.name, what: "waits", wait: t.wait }));
  return { events, stuck };
}
