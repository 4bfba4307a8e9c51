/**
 * Objects → runs of objects: joins neighbours that are equal in everything, so
 * that what works on a machine takes time by its variety.
 */
import type { ObjectRuns } from "../objects.js";

export class ObjectRunsBuilder {
  private length = 0;
  private start = new Uint32Array(4096);
  private count = new Uint32Array(4096);
  private pages = new Uint32Array(4096);
  private kind = new Uint8Array(4096);
  private headFlags = new Uint16Array(4096);
  private tailFlags = new Uint16Array(4096);
  private mapcount = new Uint32Array(4096);
  private cgroup = new Uint16Array(4096);
  /** Frame after the last object. */
  private end = 0;

  /** Adds `count` objects of `pages` pages from frame `start` on. */
  add(
    start: number,
    count: number,
    pages: number,
    kind: number,
    headFlags: number,
    tailFlags: number,
    mapcount: number,
    cgroup: number,
  ): void {
    const k = this.length - 1;
    const follows =
      k >= 0 &&
      this.end === start &&
      this.kind[k] === kind &&
      this.pages[k] === pages &&
      this.headFlags[k] === headFlags &&
      this.tailFlags[k] === tailFlags &&
      this.mapcount[k] === mapcount &&
      this.cgroup[k] === cgroup;
    this.end = start + count * pages;
    if (follows) {
      this.count[k] += count;
      return;
    }
    if (this.length === this.start.length) this.grow();
    const n = this.length++;
    this.start[n] = start;
    this.count[n] = count;
    this.pages[n] = pages;
    this.kind[n] = kind;
    this.headFlags[n] = headFlags;
    this.tailFlags[n] = tailFlags;
    this.mapcount[n] = mapcount;
    this.cgroup[n] = cgroup;
  }

  private grow(): void {
    this.start = more32(this.start);
    this.count = more32(this.count);
    this.pages = more32(this.pages);
    this.mapcount = more32(this.mapcount);
    this.headFlags = more16(this.headFlags);
    this.tailFlags = more16(this.tailFlags);
    this.cgroup = more16(this.cgroup);
    const kind = new Uint8Array(this.kind.length * 2);
    kind.set(this.kind);
    this.kind = kind;
  }

  finish(): ObjectRuns {
    const n = this.length;
    return {
      length: n,
      start: this.start.slice(0, n),
      count: this.count.slice(0, n),
      pages: this.pages.slice(0, n),
      kind: this.kind.slice(0, n),
      headFlags: this.headFlags.slice(0, n),
      tailFlags: this.tailFlags.slice(0, n),
      mapcount: this.mapcount.slice(0, n),
      cgroup: this.cgroup.slice(0, n),
    };
  }
}

function more32(column: Uint32Array): Uint32Array<ArrayBuffer> {
  const next = new Uint32Array(column.length * 2);
  next.set(column);
  return next;
}

function more16(column: Uint16Array): Uint16Array<ArrayBuffer> {
  const next = new Uint16Array(column.length * 2);
  next.set(column);
  return next;
}
