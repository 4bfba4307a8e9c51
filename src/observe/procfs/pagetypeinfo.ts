/**
 * /proc/pagetypeinfo: free blocks by migrate type, and pageblocks by type
 * (mm/vmstat.c). Two tables in one file.
 *
 * The kernel stops counting a free list at 100,000 and prints `>100000`
 * (since 5.5): such an entry is kept as 100,000 and noted as a lower bound.
 */
import { nodeId } from "../../units.js";
import { excerpt, InputError } from "../input-error.js";
import type { Note, PageTypeInfo } from "../snapshot.js";
import { linesOf, parseCount, wordsOf } from "./text.js";

export interface PageTypes {
  readonly rows: readonly PageTypeInfo[];
  readonly notes: readonly Note[];
}

interface Row {
  readonly node: number;
  readonly zone: string;
  readonly migrateType: string;
  readonly free: number[];
  blocks: number | null;
}

export function parsePagetypeinfo(text: string, file = "pagetypeinfo"): PageTypes {
  const rows: Row[] = [];
  let types: string[] | undefined;
  let bounded = 0;
  linesOf(text).forEach((raw, i) => {
    const line = i + 1;
    const free = /^Node\s+(\d+), zone\s+(\S+), type\s+(\S+)\s+(.*)$/.exec(raw);
    const blocks = /^Node (\d+), zone\s+(\S+)\s+(\d[\d\s]*)$/.exec(raw);
    if (free) {
      const counts = wordsOf(free[4]).map((w) => {
        if (w.startsWith(">")) bounded++;
        return parseCount(w.startsWith(">") ? w.slice(1) : w, "free blocks", file, line);
      });
      const node = parseCount(free[1], "node", file, line);
      rows.push({ node, zone: free[2], migrateType: free[3], free: counts, blocks: null });
    } else if (raw.startsWith("Number of blocks type"))
      types = wordsOf(raw.slice("Number of blocks type".length));
    else if (blocks && types) {
      const node = parseCount(blocks[1], "node", file, line);
      setBlocks(rows, node, blocks[2], types, wordsOf(blocks[3]), file, line);
    } else if (raw.startsWith("Node") && !/^Node \d+, zone/.test(raw)) {
      throw new InputError({ file, line }, `not a line of pagetypeinfo: ${excerpt(raw)}`);
    }
  });
  if (rows.length === 0) throw new InputError({ file }, "no free list in it");
  const notes: Note[] = [];
  if (bounded > 0) {
    notes.push({
      subject: file,
      text: `${bounded} free lists hold more than 100,000 blocks: the kernel gives a lower bound`,
    });
  }
  return { rows: rows.map((r) => ({ ...r, node: nodeId(r.node) })), notes };
}

function setBlocks(
  rows: Row[],
  node: number,
  zone: string,
  types: readonly string[],
  counts: readonly string[],
  file: string,
  line: number,
): void {
  if (counts.length > types.length)
    throw new InputError({ file, line }, "more columns than migrate types");
  counts.forEach((word, k) => {
    const row = rows.find((r) => r.node === node && r.zone === zone && r.migrateType === types[k]);
    if (row) row.blocks = parseCount(word, "pageblocks", file, line);
  });
}
