/**
 * What a plain model of scattered memory knows: which page of which object each
 * process maps, who pins what, what every page holds; and what follows from that:
 * how many references there must be under each choice, and which frames live.
 *
 * It knows nothing of words.
 */
import type { Design } from "../../design/presets.js";
import { isFolioType, T_MISC } from "../../design/word/axis-types.js";
import type { Kernel } from "../../process/kernel.js";
import type { Process } from "../../process/process.js";
import type { Area } from "../../process/scattered/area.js";
import type { ScatterList } from "../../process/scattered/scatter-list.js";
import type { UserPages } from "../../process/user-pages.js";
import type { HeldBlock } from "../view.js";

export interface Pages {
  readonly id: number;
  readonly of: Area | ScatterList;
  readonly count: number;
  /** First byte of every page. */
  readonly bytes: Uint8Array;
  readonly frames: readonly number[];
  alive: boolean;
}

export interface Segment {
  readonly process: Process;
  readonly object: Pages;
  /** First page of it in the process, and in the object. */
  start: number;
  first: number;
  pages: number;
  readonly file: number;
  writable: boolean;
}

export interface ScatteredPin {
  readonly object: Pages;
  readonly page: number;
  readonly held: UserPages;
}

/** A block of one page, as the words describe it. */
export function pageBlock(kernel: Kernel, pfn: number): HeldBlock {
  const { design } = kernel.machine;
  const type = design.typeOf(pfn);
  const subtype = type === T_MISC ? design.subtypeOf(pfn) : 0;
  return { pfn, order: 0, type, subtype, refs: isFolioType(type) ? 1 : 0 };
}

export class ScatteredBooks {
  readonly design: Design;
  readonly objects: Pages[] = [];
  segments: Segment[] = [];
  pins: ScatteredPin[] = [];

  constructor(design: Design) {
    this.design = design;
  }

  /** Objects that their owner has not freed. */
  get living(): Pages[] {
    return this.objects.filter((o) => o.alive);
  }

  /** Times that a page is mapped. */
  mappings(object: Pages, page: number): number {
    return this.segments.filter(
      (s) => s.object === object && page >= s.first && page < s.first + s.pages,
    ).length;
  }

  /** References of one page that counts itself. */
  references(object: Pages, page: number): number {
    const maps = this.mappings(object, page);
    const pins = this.pins.filter((p) => p.object === object && p.page === page).length;
    return (object.alive ? 1 : 0) + maps + pins;
  }

  /** References of an object that is counted as a whole. */
  objectReferences(object: Pages): number {
    const mine = this.segments.filter((s) => s.object === object);
    const pins = this.pins.filter((p) => p.object === object).length;
    const mappings =
      this.design.scatteredLookup === "vma-private"
        ? mine.length
        : this.design.scatteredLookup === "file-private"
          ? new Set(mine.map((s) => s.file)).size
          : mine.reduce((sum, s) => sum + s.pages, 0);
    return (object.alive ? 1 : 0) + mappings + pins;
  }

  /** Whether a page is there still: its object, or the page itself, is held by somebody. */
  lives(object: Pages, page: number): boolean {
    if (this.design.scattered === "none") return object.alive;
    return this.design.scattered === "per-page"
      ? this.references(object, page) > 0
      : this.objectReferences(object) > 0;
  }

  /** Frames of all pages that are there. */
  frames(): number[] {
    return this.objects.flatMap((o) => o.frames.filter((_frame, page) => this.lives(o, page)));
  }

  /** Cuts the segment of a process that has page `at` in its middle: what munmap and mprotect do to VMAs. */
  cut(process: Process, at: number): void {
    for (const s of this.segments) {
      if (s.process !== process || s.start >= at || s.start + s.pages <= at) continue;
      const left = at - s.start;
      const rest = { ...s, start: at, first: s.first + left, pages: s.pages - left };
      s.pages = left;
      this.segments.push(rest);
      return;
    }
  }

  /** Forgets objects that nobody has: a long life makes many. */
  forget(): void {
    for (let i = this.objects.length - 1; i >= 0; i--) {
      const object = this.objects[i];
      const held = object.alive || this.objectReferences(object) > 0;
      if (!held) this.objects.splice(i, 1);
    }
  }
}
