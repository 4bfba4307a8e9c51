/**
 * A case of the self-tests: its name, what it must be given, what it does.
 *
 * Fixture `hmm` opens one device, `hmm2` two. Both run once with devices of private
 * memory and once with devices of coherent memory.
 */
import type { Design } from "../../src/engine/design/presets.js";
import type { Test } from "../testing.js";

export const VARIANTS = ["device_private", "device_coherent"] as const;
export type Variant = (typeof VARIANTS)[number];

/** Devices that a fixture opens, by variant. */
export const FIXTURES: Readonly<
  Record<"hmm" | "hmm2", Readonly<Record<Variant, readonly number[]>>>
> = {
  hmm: { device_private: [0], device_coherent: [2] },
  hmm2: { device_private: [0, 1], device_coherent: [2, 3] },
};

export interface Case {
  /** `hmm.anon_read` */
  readonly name: string;
  readonly fixture: "hmm" | "hmm2";
  /** Free huge pages that the pool must have. */
  readonly hugePages?: number;
  /** Why the case cannot be represented on a design; null, and left out, where it can. */
  readonly cannot?: (design: Design, variant: Variant) => string | null;
  run(t: Test): void;
}

/** A case of fixture hmm. */
export const hmm = (name: string, run: (t: Test) => void, hugePages = 0): Case => ({
  name: `hmm.${name}`,
  fixture: "hmm",
  hugePages,
  run,
});

/** A case of fixture hmm2. */
export const hmm2 = (name: string, run: (t: Test) => void): Case => ({
  name: `hmm2.${name}`,
  fixture: "hmm2",
  run,
});
