/**
 * Steps of a walk that make pages alike and merge them. What a process sees does
 * not change; a later write, by whomever, must not be seen by the others.
 */
import { EAGAIN, EFAULT, ENOMEM, MADV_MERGEABLE } from "../../process/constants.js";
import type { Draw } from "./program.js";
import { writeCell } from "./reference.js";
import type { Live, WalkState } from "./walk-state.js";

const PAGE = 4096;
/** Few contents, so that pages merged earlier are met again. */
const CONTENTS = 3;

/** A page of a process that may be merged. */
interface Place {
  readonly live: Live;
  readonly vpn: number;
}

/** Two pages as they are: hardly ever alike. */
export function merge(s: WalkState, draw: Draw, live: Live): void {
  s.doing = "merging of two pages";
  const other = draw.of(s.lives);
  const [a, b] = [s.page(draw, live), s.page(draw, other)];
  s.kernel.ksm.merge({ mm: live.process.mm, vpn: a }, { mm: other.process.mm, vpn: b });
}

/** Two pages are written alike, allowed to be merged, and merged. */
export function mergeAlike(s: WalkState, draw: Draw, live: Live): void {
  const places = [live, draw.of(s.lives)].map((l) => ({ live: l, vpn: privatePage(s, draw, l) }));
  const content = new Uint8Array(PAGE);
  content.fill(1 + draw.below(CONTENTS), 0, 8);
  const [a, b] = places;
  if (a.vpn < 0 || b.vpn < 0) return;
  for (const place of places) {
    s.doing = `page ${place.vpn.toString(16)} of process ${place.live.process.pid} is made like others`;
    if (!alike(s, place, content)) return;
  }
  s.doing = `merging of page ${a.vpn.toString(16)} of process ${a.live.process.pid} and ${b.vpn.toString(16)} of ${b.live.process.pid}`;
  const frames = places.map(frameOf);
  const pinned = frames.map((pfn) => (pfn < 0 ? null : s.whoHolds(pfn)));
  const ofOne = frames[0] === frames[1];
  const error = s.kernel.ksm.merge(
    { mm: a.live.process.mm, vpn: a.vpn },
    { mm: b.live.process.mm, vpn: b.vpn },
  );
  judge(s, places, error, ofOne, pinned);

  function frameOf({ live: l, vpn }: Place): number {
    return s.pagemap(l, vpn).pfn;
  }
}

/** Pages of the same content that may be merged are, unless somebody else holds one. */
function judge(
  s: WalkState,
  places: readonly Place[],
  error: number,
  ofOne: boolean,
  pinned: readonly (string | null)[],
): void {
  const [a, b] = places.map(({ live, vpn }) => s.pagemap(live, vpn).pfn);
  if (error === 0) {
    if (a !== b) s.fail(`they are merged and lie in frames ${a} and ${b}`, a);
    const holder = pinned.find((who) => who !== null) ?? null;
    if (!ofOne && holder !== null) s.fail(`they are merged, and ${holder} holds one`, a);
    return;
  }
  // Part of a large folio, swapped out by now, held by somebody, no memory.
  if (error === EFAULT || error === EAGAIN) return;
  if (error === ENOMEM && s.options.mayFail) {
    s.failures++;
    return;
  }
  s.fail(`error ${error}: they hold the same and may be merged`, a);
}

/** A page of private anonymous memory that may be written; −1 where the draw met none. */
function privatePage(s: WalkState, draw: Draw, live: Live): number {
  for (let tries = 0; tries < 4; tries++) {
    const vpn = s.page(draw, live);
    const page = live.ref.pages.get(vpn);
    if (page?.object === null && !page.hugetlb && page.prot === 3) return vpn;
  }
  return -1;
}

/** Writes the content and allows merging; false where memory ran out. */
function alike(s: WalkState, { live, vpn }: Place, content: Uint8Array): boolean {
  const page = live.ref.pages.get(vpn);
  if (page === undefined) return false;
  const allowed = s.outcome(() => live.process.madvise(vpn * PAGE, PAGE, MADV_MERGEABLE));
  if (!s.agree(allowed, "")) return false;
  const got = s.outcome(() => live.process.write(vpn * PAGE, content));
  if (!s.agree(got, "")) return false;
  writeCell(live.ref.writable(page), 0, content);
  return true;
}
