/**
 * What no flag says: which frames are holes (`absent`) and which the kernel
 * never gave to its allocator (`uninitialised`). Both read 0, as plain kernel
 * pages do, so they are told by ranges and totals, and only where these agree
 * to the frame.
 *
 * absent: frames past the last zone's end (also where a section's spare page
 * structures say reserved); and frames that read 0 in no System RAM range, or
 * in no online memory block, or in no zone's span.
 *
 * uninitialised: a zone's `present − managed` is what its allocator never got:
 * pages reserved at boot, pages taken out again by a balloon (offline), and,
 * with deferred initialisation, the zone's last stretch, whole sections, whose
 * page structures are still zero. So
 *   missing = present − managed − reserved − offline
 * must be 0 on a machine without (both 256 MiB fixtures: exactly 0). Where it
 * is more, the zone's last `missing` frames must all read 0 and begin on a
 * section boundary; otherwise nothing is guessed, they stay `kernel` and the
 * reason says so. Where System RAM is not known, reserved frames of holes cannot
 * be told from others; the same sum is then made over the span:
 *   spanned − managed − all reserved − offline = holes that read 0 + never initialised
 * and must equal the whole sections of the zone that read 0.
 */
import { KPF, low, high } from "../kpageflags.js";
import type { Kind } from "../kinds.js";
import type { Snapshot, ZoneInfo } from "../snapshot.js";
import { merged } from "../procfs/iomem.js";

/** Frames `start` … `end − 1`, all of this kind whatever their words say. */
export interface FrameRange {
  readonly start: number;
  readonly end: number;
  readonly kind: Kind;
}

export interface Reason {
  readonly start: number;
  readonly end: number;
  readonly kind: string;
  readonly why: string;
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** Frames of a memory section: 128 MiB of 4 KiB pages (x86-64, arm64). */
const SECTION = 32_768;

export function nameRanges(snapshot: Snapshot): {
  ranges: readonly FrameRange[];
  reasons: readonly Reason[];
} {
  const namer = new Namer(snapshot);
  namer.beyondZones();
  namer.outsideZones();
  if (snapshot.ram !== null) namer.outside(snapshot.ram, "in no System RAM range of iomem");
  if (snapshot.nodeRanges !== null)
    namer.outside(snapshot.nodeRanges, "in no online memory block of /sys");
  for (const zone of snapshot.zones) {
    if (zone.spanned === 0) continue;
    if (snapshot.ram !== null) namer.deferred(zone);
    else namer.withoutRam(zone);
  }
  return namer.result();
}

class Namer {
  private readonly snapshot: Snapshot;
  /** Stretches that read 0, unmapped and uncharged, in ascending order. */
  private readonly zero: readonly Span[];
  private readonly named: FrameRange[] = [];
  private readonly reasons: Reason[] = [];
  private readonly zonesEnd: number;

  constructor(snapshot: Snapshot) {
    this.snapshot = snapshot;
    this.zero = zeroStretches(snapshot);
    this.zonesEnd = Math.min(
      snapshot.frames,
      snapshot.zones.reduce((end, z) => Math.max(end, z.start + z.spanned), 0),
    );
  }

  private name(start: number, end: number, kind: Kind, why: string): void {
    this.nameAll([{ start, end }], kind, why);
  }

  /** Names spans (ascending, disjoint) where nothing has a name yet. */
  private nameAll(spans: readonly Span[], kind: Kind, why: string): void {
    const fresh = withoutAll(spans, this.named);
    if (fresh.length === 0) return;
    for (const { start, end } of fresh) {
      this.named.push({ start, end, kind });
      this.reasons.push({ start, end, kind, why });
    }
    this.named.sort((x, y) => x.start - y.start);
  }

  beyondZones(): void {
    if (this.zonesEnd < this.snapshot.frames) {
      this.name(this.zonesEnd, this.snapshot.frames, "absent", "beyond the end of the last zone");
    }
  }

  outsideZones(): void {
    const spans = this.snapshot.zones
      .filter((z) => z.spanned > 0)
      .map((z) => ({ start: z.start, end: z.start + z.spanned }));
    this.outside(spans, "in no zone's span");
  }

  /** Frames that read 0 and lie in none of these ranges. */
  outside(ranges: readonly Span[], why: string): void {
    this.nameAll(withoutAll(this.zero, merged(ranges)), "absent", why);
  }

  /** The parts of a zone's span that are its node's, where /sys says which are. */
  private spanOf(zone: ZoneInfo): Span[] {
    const span = {
      start: zone.start as number,
      end: Math.min(zone.start + zone.spanned, this.snapshot.frames),
    };
    const { nodeRanges } = this.snapshot;
    return nodeRanges === null
      ? [span]
      : overlaps(
          nodeRanges.filter((r) => r.node === zone.node),
          span,
        );
  }

  /** The tail of a zone that was never initialised, with System RAM known. */
  deferred(zone: ZoneInfo): void {
    if (zone.present === zone.managed) return;
    const ram = this.spanOf(zone).flatMap((span) => overlaps(this.snapshot.ram ?? [], span));
    const taken = this.countTaken(ram);
    const missing = zone.present - zone.managed - taken.reserved - taken.offline;
    if (missing <= 0) return;
    const sum =
      `present ${zone.present} − managed ${zone.managed} − reserved ${taken.reserved}` +
      `${taken.offline > 0 ? ` − offline ${taken.offline}` : ""} = ${missing}`;
    this.nameTail(zone, ram, missing, sum);
  }

  private nameTail(zone: ZoneInfo, ram: readonly Span[], missing: number, sum: string): void {
    const tail = lastFrames(ram, missing);
    const first = tail[0]?.start ?? 0;
    const allZero = tail.length > 0 && tail.every((t) => this.readsZero(t));
    if (!allZero || first % SECTION !== 0) {
      const what = allZero ? "do not begin on a section boundary" : "do not all read 0";
      this.refuse(zone, sum, `its last ${missing} frames ${what}`);
      return;
    }
    for (const part of tail) {
      this.name(
        part.start,
        part.end,
        "uninitialised",
        `the last ${missing} frames of zone ${zone.name} of node ${zone.node} read 0, and ${sum}`,
      );
    }
  }

  private refuse(zone: ZoneInfo, sum: string, what: string): void {
    this.reasons.push({
      start: zone.start,
      end: zone.start + zone.spanned,
      kind: "kernel",
      why: `not decided: of zone ${zone.name} of node ${zone.node}, ${sum}, but ${what}: left as kernel`,
    });
  }

  /** Holes and never-initialised frames of a zone where System RAM is not known. */
  withoutRam(zone: ZoneInfo): void {
    const span = {
      start: zone.start as number,
      end: Math.min(zone.start + zone.spanned, this.snapshot.frames),
    };
    const taken = this.countTaken([span]);
    const named = this.named.reduce((n, r) => n + overlap(r, span), 0);
    const missing = zone.spanned - zone.managed - taken.reserved - taken.offline - named;
    if (missing <= 0) return;
    const sections = this.zero
      .flatMap((s) => wholeSections(s, span))
      .flatMap((s) => withoutAll([s], this.named));
    const found = sections.reduce((n, s) => n + s.end - s.start, 0);
    const holesLeft = Math.max(0, zone.spanned - zone.present - named);
    const sum =
      `spanned ${zone.spanned} − managed ${zone.managed} − reserved ${taken.reserved}` +
      `${taken.offline > 0 ? ` − offline ${taken.offline}` : ""}${named > 0 ? ` − absent ${named}` : ""} = ${missing}`;
    // Holes come before the tail; the tail alone can be uninitialised.
    const last = sections[sections.length - 1];
    const tail =
      last !== undefined &&
      last.end === span.end &&
      zone.present > zone.managed &&
      found > holesLeft
        ? last
        : null;
    const inHoles = found - (tail ? tail.end - tail.start : 0);
    if (found !== missing || inHoles > holesLeft) {
      this.refuse(zone, sum, `${found} frames in whole sections read 0, which does not match`);
      return;
    }
    for (const s of sections) {
      const why = `whole sections that read 0, and of zone ${zone.name} of node ${zone.node} ${sum}`;
      this.name(s.start, s.end, s === tail ? "uninitialised" : "absent", why);
    }
  }

  private readsZero(range: Span): boolean {
    return this.zero.some((z) => z.start <= range.start && z.end >= range.end);
  }

  /** Reserved and offline frames in some spans. */
  private countTaken(spans: readonly Span[]): { reserved: number; offline: number } {
    const { runs, flagWords } = this.snapshot;
    let reserved = 0;
    let offline = 0;
    for (const span of spans) {
      for (let i = runAt(runs, span.start); i < runs.length && runs.start[i] < span.end; i++) {
        const lo = flagWords.lo[runs.flags[i]];
        const n = Math.min(span.end, runs.start[i + 1]) - Math.max(span.start, runs.start[i]);
        if ((flagWords.hi[runs.flags[i]] & high(KPF.RESERVED)) !== 0) reserved += n;
        else if ((lo & low(KPF.OFFLINE)) !== 0) offline += n;
      }
    }
    return { reserved, offline };
  }

  result(): { ranges: readonly FrameRange[]; reasons: readonly Reason[] } {
    return { ranges: this.named, reasons: [...this.reasons].sort((a, b) => a.start - b.start) };
  }
}

/** The longest stretches of flag word 0 with no map count and no cgroup. */
function zeroStretches(snapshot: Snapshot): Span[] {
  const { runs, flagWords } = snapshot;
  const out: { start: number; end: number }[] = [];
  for (let i = 0; i < runs.length; i++) {
    const word = runs.flags[i];
    if (flagWords.lo[word] !== 0 || flagWords.hi[word] !== 0) continue;
    if (runs.mapcount[i] !== 0 || snapshot.cgroups[runs.cgroup[i]] !== 0) continue;
    const last = out[out.length - 1];
    if (last && last.end === runs.start[i]) last.end = runs.start[i + 1];
    else out.push({ start: runs.start[i], end: runs.start[i + 1] });
  }
  return out;
}

/** Index of the run that holds a frame. */
function runAt(runs: Snapshot["runs"], frame: number): number {
  let a = 0;
  let b = runs.length;
  while (a + 1 < b) {
    const mid = (a + b) >>> 1;
    if (runs.start[mid] <= frame) a = mid;
    else b = mid;
  }
  return a;
}

function overlap(a: Span, b: Span): number {
  return Math.max(0, Math.min(a.end, b.end) - Math.max(a.start, b.start));
}

function overlaps(ranges: readonly Span[], within: Span): Span[] {
  return ranges
    .filter((r) => overlap(r, within) > 0)
    .map((r) => ({ start: Math.max(r.start, within.start), end: Math.min(r.end, within.end) }));
}

/** The parts of spans that lie in none of the ranges; both ascending and disjoint. */
function withoutAll(spans: readonly Span[], ranges: readonly Span[]): Span[] {
  const out: Span[] = [];
  let first = 0;
  for (const span of spans) {
    while (first < ranges.length && ranges[first].end <= span.start) first++;
    let at = span.start;
    for (let k = first; k < ranges.length && ranges[k].start < span.end; k++) {
      if (ranges[k].start > at) out.push({ start: at, end: ranges[k].start });
      at = Math.max(at, ranges[k].end);
    }
    if (at < span.end) out.push({ start: at, end: span.end });
  }
  return out;
}

/** The last `count` frames of ascending ranges. */
function lastFrames(ranges: readonly Span[], count: number): Span[] {
  const out: Span[] = [];
  let left = count;
  for (let i = ranges.length - 1; i >= 0 && left > 0; i--) {
    const take = Math.min(left, ranges[i].end - ranges[i].start);
    out.unshift({ start: ranges[i].end - take, end: ranges[i].end });
    left -= take;
  }
  return left === 0 ? out : [];
}

/** The part of a stretch inside a zone that is whole sections. */
function wholeSections(stretch: Span, zone: Span): Span[] {
  const start = Math.max(stretch.start, zone.start);
  const end = Math.min(stretch.end, zone.end);
  const from = Math.ceil(start / SECTION) * SECTION;
  const to = Math.floor(end / SECTION) * SECTION;
  return to > from ? [{ start: from, end: to }] : [];
}
