/**
 * Objects: what the frames of a snapshot are, grouped into the things the
 * kernel allocated (a folio, a slab, a page table, a stretch of free frames).
 *
 * Neighbouring equal objects are one run, so that everything that works on a
 * machine (populating it, what-ifs, the report) takes time by variety and not
 * by size. See `classify.ts` for the rules that make them.
 */
export interface ObjectRuns {
  readonly length: number;
  /** First frame of the run. */
  readonly start: Uint32Array;
  /** Objects in the run, in consecutive frames. */
  readonly count: Uint32Array;
  /**
   * Pages of each object: a power of two for compound pages and folios. Kinds
   * without objects of their own (free, reserved, absent, plain kernel pages,
   * uninitialised) have 1.
   */
  readonly pages: Uint32Array;
  /** Index into KINDS. */
  readonly kind: Uint8Array;
  /** Flag word (index into flagWords) of the first page of each object … */
  readonly headFlags: Uint16Array;
  /**
   * … and of the other pages; equal to headFlags where pages is 1, or
   * {@link FLAGS_VARY} where the tails differ among themselves.
   */
  readonly tailFlags: Uint16Array;
  /** kpagecount of every page, or {@link VARIES}: then see the snapshot's runs. */
  readonly mapcount: Uint32Array;
  /** Index into cgroups, or {@link CGROUP_VARIES}. */
  readonly cgroup: Uint16Array;
}

/** The pages of these objects do not have the same map count. */
export const VARIES = 0xffffffff;
/** The tails of these objects do not have the same flag word: see the snapshot's runs. */
export const FLAGS_VARY = 0xffff;
/** The pages of these objects do not have the same cgroup. */
export const CGROUP_VARIES = 0xffff;

/** What classification had to say besides the objects themselves. */
export interface Classification {
  readonly objects: ObjectRuns;
  /**
   * Whether kpageflags of a tail page shows the tail's own flag word (Linux
   * before 6.10) or its folio's (since), inferred from the data, the kernel
   * version deciding where the data cannot.
   */
  readonly tailFlags: "own" | "folio";
  /** The kernel sets the KSM bit on every anonymous page, so ksm cannot be told. */
  readonly ksmUnknown: boolean;
  /**
   * Frames whose words contradict each other because the source was live while
   * it was read (a tail without a head, a tail unlike its head, an object that
   * is no naturally aligned power of two). They are left out of a comparison
   * and counted.
   */
  readonly torn: {
    readonly frames: number;
    readonly runs: readonly { start: number; end: number; why: string }[];
  };
  /** How each never-initialised and absent range was recognised, for --explain. */
  readonly reasons: readonly {
    readonly start: number;
    readonly end: number;
    readonly kind: string;
    readonly why: string;
  }[];
}
