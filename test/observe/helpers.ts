/**
 * What the tests of `observe` share: where the fixtures are, and small
 * snapshots made by hand.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { assemble, type TextFile } from "../../src/observe/assemble.js";
import { InputError } from "../../src/observe/input-error.js";
import { high, KPF, type KpfName, low } from "../../src/observe/kpageflags.js";
import { type Kind, kindOf } from "../../src/observe/kinds.js";
import type { ObjectRuns } from "../../src/observe/objects.js";
import { PageRunsBuilder } from "../../src/observe/page-runs-builder.js";
import type { Snapshot } from "../../src/observe/snapshot.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

export const FIXTURES = join(root, "test", "fixtures");
export const MACHINES = ["guest-6.1", "guest-6.12", "vm-6.18"] as const;

/** The full set of real data; null where it is not there. */
export const SHARED: string | null = (() => {
  const path = process.env["MEMDESC_SHARED"] ?? join(root, "..", "shared");
  return existsSync(join(path, "fixtures")) ? path : null;
})();

/** Flag word of some bits. */
export function word(...names: readonly KpfName[]): [lo: number, hi: number] {
  let lo = 0;
  let hi = 0;
  for (const name of names) {
    if (KPF[name] < 32) lo |= low(KPF[name]);
    else hi |= high(KPF[name]);
  }
  return [lo >>> 0, hi >>> 0];
}

export interface MadeRun {
  readonly pages: number;
  readonly flags: readonly KpfName[];
  readonly mapcount?: number;
  readonly cgroup?: number;
}

/** A snapshot of these runs, with these text files. */
export function made(
  runs: readonly MadeRun[],
  texts: Partial<Record<TextFile, string>> = {},
): Snapshot {
  const builder = new PageRunsBuilder();
  for (const r of runs)
    builder.pushRun(r.pages, ...word(...r.flags), r.mapcount ?? 0, 0, r.cgroup ?? 0, 0);
  return assemble({
    label: "made",
    origin: "folder",
    pages: builder.finish(),
    hasMapcount: true,
    hasCgroup: true,
    texts,
    sys: null,
    structSizes: null,
    notes: [],
  });
}

export interface MadeZone {
  readonly node?: number;
  readonly name?: string;
  readonly start?: number | null;
  readonly spanned: number | string;
  readonly present?: number | string;
  readonly managed?: number | string;
}

/** Text of a zoneinfo with these zones. */
export function zoneinfoOf(...zones: readonly MadeZone[]): string {
  return zones
    .map((z) => {
      const present = z.present ?? z.spanned;
      const start = z.start === null ? "" : `  start_pfn:           ${z.start ?? 0}\n`;
      return `Node ${z.node ?? 0}, zone ${(z.name ?? "Normal").padStart(8)}
  pages free     0
        min      1
        low      2
        high     3
        spanned  ${z.spanned}
        present  ${present}
        managed  ${z.managed ?? present}
        protection: (0, 0)
${start}`;
    })
    .join("");
}

/** Pages and objects of each kind that occurs. */
export function byKind(
  objects: ObjectRuns,
): Partial<Record<Kind, { pages: number; objects: number }>> {
  const sums: Partial<Record<Kind, { pages: number; objects: number }>> = {};
  for (let i = 0; i < objects.length; i++) {
    const sum = (sums[kindOf(objects.kind[i])] ??= { pages: 0, objects: 0 });
    sum.pages += objects.count[i] * objects.pages[i];
    sum.objects += objects.count[i];
  }
  return sums;
}

/** Kind and object size of every frame; fails where runs leave a gap or overlap. */
export function perFrame(
  objects: ObjectRuns,
  frames: number,
): { kind: Kind[]; pages: Uint32Array } {
  const kind: Kind[] = [];
  const pages = new Uint32Array(frames);
  for (let i = 0; i < objects.length; i++) {
    expect(objects.start[i]).toBe(kind.length);
    const n = objects.count[i] * objects.pages[i];
    pages.fill(objects.pages[i], kind.length, kind.length + n);
    for (let k = 0; k < n; k++) kind.push(kindOf(objects.kind[i]));
  }
  expect(kind.length).toBe(frames);
  return { kind, pages };
}

/** The InputError that a call is refused with; fails where it is not refused with one. */
export function refusal(call: () => unknown): InputError {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return error as InputError;
  }
  throw new Error("was not refused");
}

export async function refusalOf(call: Promise<unknown>): Promise<InputError> {
  const outcome = await call.then(
    () => null,
    (error: unknown) => error,
  );
  expect(outcome).toBeInstanceOf(InputError);
  expect((outcome as InputError).message).not.toMatch(/[\n\r]/);
  return outcome as InputError;
}

/** True where the call ends well or with an InputError; anything else is thrown on. */
export function refusedOrRead(call: () => unknown): boolean {
  try {
    call();
    return true;
  } catch (error) {
    if (error instanceof InputError) return true;
    throw error;
  }
}
