/**
 * From a SOURCE argument to a snapshot, with the fallback for people who just
 * want to see something: without a source and without the right to read the
 * live machine, a real snapshot that comes with the package is shown, and said
 * to be that in one line on stderr (and in the report itself).
 */
import type { Snapshot } from "../observe/snapshot.js";
import { canReadLive, openSource, readBundled } from "../observe/source.node.js";
import type { Progress } from "./progress.js";

export interface Opened {
  readonly snapshot: Snapshot;
  /** Seconds it took, null for the bundled snapshot: that says nothing about this machine. */
  readonly readSeconds: number | null;
}

export interface WhatToRead {
  /** SOURCE as typed; undefined for the live machine. */
  readonly source: string | undefined;
  /** Flags are enough (kinds); map counts and cgroups are not needed. */
  readonly flagsOnly: boolean;
}

/** Reads the source, or the bundled snapshot where the live machine cannot be read. */
export async function openForReport(what: WhatToRead, progress: Progress): Promise<Opened> {
  const why = what.source === undefined ? whyNotLive() : null;
  if (why !== null) {
    process.stderr.write(
      `memdesc: ${why}; showing a bundled snapshot of another machine instead\n`,
    );
    return { snapshot: await readBundled(why), readSeconds: null };
  }
  const began = performance.now();
  const snapshot = await openSource(what.source, {
    pages: what.flagsOnly ? "flags-only" : "all",
    onProgress: (done, total, unit) => progress.update(`reading ${unit}`, done, total),
  });
  progress.finish();
  return { snapshot, readSeconds: (performance.now() - began) / 1000 };
}

/** Why the live machine cannot be read, null where it can. */
export function whyNotLive(): string | null {
  const can = canReadLive();
  return can.ok ? null : can.why;
}
