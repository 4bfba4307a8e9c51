/**
 * Numbers for a driver's objects: a page carries one number for its driver
 * (zone_device_data), where the kernel has a pointer.
 *
 * 0 is no object's number, so a page without data leads to nothing. A number that
 * went is given again.
 */
export class Handles<T> {
  readonly #objects = new Map<number, T>();
  readonly #free: number[] = [];

  get size(): number {
    return this.#objects.size;
  }

  add(object: T): number {
    const handle = this.#free.pop() ?? this.#objects.size + 1;
    this.#objects.set(handle, object);
    return handle;
  }

  /** The object of a number; undefined for one that has none. */
  get(handle: number): T | undefined {
    return this.#objects.get(handle);
  }

  delete(handle: number): void {
    if (this.#objects.delete(handle)) this.#free.push(handle);
  }

  /** All objects, by number. */
  values(): T[] {
    return [...this.#objects].toSorted(([a], [b]) => a - b).map(([, object]) => object);
  }
}
