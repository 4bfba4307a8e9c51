/**
 * The folders of /sys that a snapshot needs: which memory blocks are online on
 * which node, and the hugetlb pools.
 *
 * Reads through a small interface, so that a live /sys, a copied folder and a
 * tar are one code. Facts: Documentation/admin-guide/mm/memory-hotplug.rst,
 * Documentation/admin-guide/mm/hugetlbpage.rst.
 */
import { bytes, nodeId, pfn } from "../../units.js";
import { InputError } from "../input-error.js";
import type { HugePool, NodeRange, Note } from "../snapshot.js";
import { parseCount } from "./text.js";

/** A tree of small text files; paths are relative to /sys. */
export interface SysTree {
  /** Names in a folder; empty where there is none. */
  list(folder: string): readonly string[];
  /** Text of a file, or null where it is not there or not readable. */
  read(path: string): string | null;
}

const NODES = "devices/system/node";
const BLOCKS = "devices/system/memory";

export interface NodeRanges {
  readonly ranges: readonly NodeRange[] | null;
  readonly notes: readonly Note[];
}

/** Online memory blocks by node, touching ones joined; null where /sys has none. */
export function readNodeRanges(tree: SysTree): NodeRanges {
  const size = tree.read(`${BLOCKS}/block_size_bytes`);
  const nodes = tree.list(NODES).filter((n) => /^node\d{1,5}$/.test(n));
  if (size === null || nodes.length === 0) return { ranges: null, notes: [] };
  const file = `sys/${BLOCKS}/block_size_bytes`;
  const text = size.trim();
  if (!/^[0-9a-f]{1,13}$/.test(text))
    throw new InputError({ file, line: 1 }, "not a hexadecimal size");
  const frames = parseInt(text, 16) / 4096;
  if (!Number.isInteger(frames) || frames < 1)
    throw new InputError({ file, line: 1 }, "not a multiple of 4096");
  const notes: Note[] = [];
  const found: { node: number; start: number; end: number }[] = [];
  for (const name of nodes) {
    for (const block of tree.list(`${NODES}/${name}`)) {
      const m = /^memory(\d{1,10})$/.exec(block);
      if (!m) continue;
      const state =
        tree.read(`${NODES}/${name}/${block}/state`) ?? tree.read(`${BLOCKS}/${block}/state`);
      if (state !== null && state.trim() !== "online" && state.trim() !== "going-offline") continue;
      const start = Number(m[1]) * frames;
      if (start + frames > 2 ** 32)
        throw new InputError({ file: `sys/${NODES}/${name}/${block}` }, "lies beyond 16 TiB");
      found.push({ node: Number(name.slice(4)), start, end: start + frames });
    }
  }
  if (found.length === 0) return { ranges: null, notes };
  return { ranges: joined(found), notes };
}

function joined(found: { node: number; start: number; end: number }[]): NodeRange[] {
  found.sort((a, b) => a.start - b.start || a.node - b.node);
  const out: { node: number; start: number; end: number }[] = [];
  for (const r of found) {
    const last = out[out.length - 1];
    if (last && last.node === r.node && r.start <= last.end) last.end = Math.max(last.end, r.end);
    else out.push({ ...r });
  }
  return out.map((r) => ({ node: nodeId(r.node), start: pfn(r.start), end: pfn(r.end) }));
}

/** Hugetlb pools of each node, or of the machine where no node folder has any. */
export function readHugePools(tree: SysTree): HugePool[] | null {
  const pools: HugePool[] = [];
  for (const name of tree.list(NODES)) {
    const m = /^node(\d{1,5})$/.exec(name);
    if (m) pools.push(...poolsOf(tree, `${NODES}/${name}/hugepages`, Number(m[1])));
  }
  if (pools.length === 0) pools.push(...poolsOf(tree, "kernel/mm/hugepages", null));
  return pools.length === 0 ? null : pools;
}

function poolsOf(tree: SysTree, folder: string, node: number | null): HugePool[] {
  const pools: HugePool[] = [];
  for (const name of tree.list(folder)) {
    const m = /^hugepages-(\d{1,12})kB$/.exec(name);
    if (!m) continue;
    const count = (what: string): number => {
      const path = `${folder}/${name}/${what}`;
      return parseCount((tree.read(path) ?? "0").trim(), what, `sys/${path}`, 1);
    };
    pools.push({
      node: node === null ? null : nodeId(node),
      size: bytes(Number(m[1]) * 1024),
      total: count("nr_hugepages"),
      free: count("free_hugepages"),
      surplus: count("surplus_hugepages"),
    });
  }
  return pools.sort((a, b) => a.size - b.size);
}
