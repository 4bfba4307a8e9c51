/**
 * Where a type-safe cache keeps the free pointer of a free object.
 *
 * A freed object must stay of its type until a grace period has passed, so the
 * pointer may not lie over a field that a late reader looks at. `inside`: in a
 * field that no reader without a reference looks at (kmem_cache_args.freeptr_offset,
 * Linux 6.12); `outside`: behind the object, which is the default of
 * SLAB_TYPESAFE_BY_RCU caches and makes every object larger.
 */
export type FreePointer = "inside" | "outside";

/** Bytes of one object as it lies in its slab: a multiple of 16, so that pointers have four bits to spare. */
export function objectSize(size: number, freePointer: FreePointer): number {
  return Math.ceil((freePointer === "outside" ? Math.ceil(size / 8) * 8 + 8 : size) / 16) * 16;
}
