/**
 * The page cache of every file, read from its tree: which pages it has, and
 * which nodes make it up.
 */
import type { Ref } from "../../../units.js";
import {
  INODE_I_INO,
  INODE_I_KIND,
  INODE_XA_HEAD,
  XA_NODE_PARENT,
  XA_NODE_SHIFT,
  XA_NODE_SLOTS,
} from "../../layout/generated/offsets.js";
import type { Kernel } from "../../process/kernel.js";
import { O_INODE, O_XA_NODE } from "../../process/objects.js";
import { refOfAddress } from "../../words/words.js";

const SLOTS = 64;
const SLOT_BITS = 6;
const NODE = 2;
const NONE = 0 as Ref;

/** A slot of the tree that names a folio. */
export interface CachedSlot {
  /** First page that the slot is for, and how many. */
  readonly index: number;
  readonly pages: number;
  readonly folio: Ref;
}

export interface NodeView {
  readonly node: Ref;
  readonly parent: Ref;
  readonly shift: number;
  /** Slots that it says are in use, and those that are. */
  readonly count: number;
  readonly filled: number;
  /** The node that leads here; 0 for the tree's head. */
  readonly from: Ref;
}

export interface FileView {
  readonly inode: Ref;
  readonly number: number;
  readonly kind: number;
  readonly mapping: Ref;
  readonly slots: readonly CachedSlot[];
  readonly nodes: readonly NodeView[];
  /** Slots that lead to what is no node. */
  readonly broken: readonly string[];
}

/** `file 3` or, for memory shared without a file, the same with its number. */
export const fileName = (file: FileView): string => `file ${file.number}`;

export function walkFiles(kernel: Kernel, objects: readonly ReadonlySet<Ref>[]): FileView[] {
  return [...objects[O_INODE]].map((inode) => walkFile(kernel, inode, objects[O_XA_NODE]));
}

function walkFile(kernel: Kernel, inode: Ref, known: ReadonlySet<Ref>): FileView {
  const { w, core } = kernel.base;
  const slots: CachedSlot[] = [];
  const nodes: NodeView[] = [];
  const broken: string[] = [];

  const walk = (node: Ref, from: Ref, base: number): void => {
    if (!known.has(node)) {
      broken.push(`page ${base}: leads to ${node}, which is no node in use`);
      return;
    }
    if (nodes.length > known.size) return void broken.push(`page ${base}: the tree is a ring`);
    const head = w.load32(node, XA_NODE_SHIFT);
    const shift = head & 0xff;
    let filled = 0;
    const below: [Ref, number][] = [];
    for (let i = 0; i < SLOTS; i++) {
      const lo = w.load64(node, XA_NODE_SLOTS + (i << 3));
      const to = refOfAddress(lo, w.hi);
      if (to === NONE) continue;
      filled++;
      const index = base + i * 2 ** shift;
      if ((lo & NODE) === 0) slots.push({ index, pages: 2 ** shift, folio: to });
      else if (shift < SLOT_BITS) broken.push(`page ${index}: a node below the last level`);
      else below.push([to, index]);
    }
    const parent = core.pointer(node, XA_NODE_PARENT);
    nodes.push({ node, parent, shift, count: (head >>> 16) & 0xff, filled, from });
    for (const [to, index] of below) walk(to, node, index);
  };

  const lo = w.load64(inode, INODE_XA_HEAD);
  const to = refOfAddress(lo, w.hi);
  if ((lo & NODE) !== 0) walk(to, NONE, 0);
  else if (to !== NONE) slots.push({ index: 0, pages: 1, folio: to });
  return {
    inode,
    number: w.load32(inode, INODE_I_INO),
    kind: w.load32(inode, INODE_I_KIND),
    mapping: kernel.files.mappingOf(inode),
    slots,
    nodes,
    broken,
  };
}
