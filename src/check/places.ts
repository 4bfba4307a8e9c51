/**
 * Names for the words of a machine, for people who read a schedule: which frame,
 * which descriptor, which field.
 *
 * A name is made from the machine as it is at that moment: what a heap page holds
 * is asked of the slab that it is in.
 */
import type { Access } from "../engine/words/checked.js";
import type { Machine } from "../engine/machine.js";
import type { StructTable } from "../engine/layout/struct-table.js";
import { STRUCTS } from "../engine/layout/generated/tables.js";
import { CACHE_SHIFT } from "../engine/design/word/axis.js";
import type { Ref } from "../units.js";

/** Names words of the machine; `extra` names single places that are no part of it. */
export function namerOf(
  machine: Machine,
  extra: ReadonlyMap<Ref, string>,
): (place: Pick<Access, "ref" | "off">) => string {
  return ({ ref, off }) =>
    extra.get(ref) ??
    inPageArray(machine, ref, off) ??
    inFixed(machine, ref, off) ??
    inHeap(machine, ref, off) ??
    `arena ${ref}+${off}`;
}

function inPageArray(machine: Machine, ref: Ref, off: number): string | null {
  const { design } = machine;
  const first = design.wordsOf(0);
  const byte = (ref - first.ref) * 16 + off;
  const pfn = Math.floor(byte / design.pageBytes);
  if (pfn < 0 || pfn >= machine.config.frames) return null;
  return `page ${pfn} ${fieldAt(first.struct, byte % design.pageBytes)}`;
}

/** Read sections, zones and per-CPU lists. */
function inFixed(machine: Machine, ref: Ref, off: number): string | null {
  const { rcu, buddy, allocator } = machine;
  const cpu = (ref - rcu.base) / 4;
  if (cpu >= 0 && cpu < rcu.cpus) return `rcu cpu ${Math.floor(cpu)}`;
  for (const [zone, base] of buddy.zoneRefs.entries()) {
    const byte = (ref - base) * 16 + off;
    if (byte >= 0 && byte < STRUCTS.ZONE.size) return `zone ${zone} ${fieldAt("ZONE", byte)}`;
    for (let c = 0; c < allocator.cpus; c++) {
      const at = (ref - allocator.pcpRef(zone, c)) * 16 + off;
      if (at >= 0 && at < STRUCTS.PCP.size) return `pcp cpu ${c} ${fieldAt("PCP", at)}`;
    }
  }
  return null;
}

/** The cache whose slab a place of the heap lies in; −1 where it is in none. */
export function cacheOf({ heap, design, w }: Machine, ref: Ref): number {
  const frame = heap.frameOf(ref);
  const slab = frame < 0 ? 0 : design.descriptorOf(frame);
  return slab === 0 ? -1 : (w.load32(slab as Ref, design.slab.cache) >>> CACHE_SHIFT) - 1;
}

/** A descriptor: which cache its slab belongs to, which object of it. */
function inHeap(machine: Machine, ref: Ref, off: number): string | null {
  const { heap, caches } = machine;
  if (heap.frameOf(ref) < 0) return null;
  const cache = cacheOf(machine, ref);
  const byte = (ref % heap.refsPerPage) * 16 + off;
  const spec = caches.specs[cache];
  if (spec === undefined) return `frame ${heap.frameOf(ref)}+${byte}`;
  const size = caches.stride[cache] * 16;
  const struct = Object.entries(STRUCTS).find(([, s]) => s.source === spec.source)?.[0] ?? "";
  return `${spec.name}#${Math.floor(byte / size)} ${fieldAt(struct, byte % size)}`;
}

/** Field of a struct that a byte lies in; overlays are all named. */
function fieldAt(struct: string, byte: number): string {
  const table: StructTable | undefined = Object.entries(STRUCTS).find(
    ([name]) => name === struct,
  )?.[1];
  const fields = table?.fields.filter((f) => byte >= f.offset && byte < f.offset + f.width) ?? [];
  return fields.length === 0 ? `+${byte}` : fields.map((f) => f.name).join("|");
}
