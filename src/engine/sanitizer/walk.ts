/**
 * A random walk over a machine: operations decoded from integers, and a model
 * that knows what is held.
 *
 * The same numbers give the same walk in every design, so a property test can
 * shrink them and a soak run can repeat them from its seed. The model is as plain
 * as it can be: four lists of numbers that say which blocks are held and how
 * often. It predicts refusals too: a type that the design has no place for is
 * EINVAL, anything else that fails is ENOMEM.
 */
import {
  isFolioType,
  MISC_UNKNOWN,
  T_ANON,
  T_FILE,
  T_KSM,
  T_MISC,
  type PageType,
} from "../design/word/axis-types.js";
import { RuleViolation } from "../errors.js";
import type { Machine } from "../machine.js";
import { EINVAL, ENOMEM } from "../pages/allocator.js";
import { MAX_ORDER } from "../pages/zones.js";
import type { Claims, HeldBlock } from "./view.js";

/** Orders as workloads ask for them: mostly small, sometimes a huge page or more. */
const ORDERS = [0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 7, 9, MAX_ORDER];
const FOLIOS = [T_FILE, T_ANON, T_ANON, T_KSM];
const TYPED = [5, 6, 7, 8, 8, 9, 10, 11, 12, 13] as PageType[];

export class Walk {
  readonly m: Machine;
  readonly #given: Claims["given"];
  readonly #pfn: number[] = [];
  readonly #order: number[] = [];
  readonly #type: PageType[] = [];
  readonly #refs: number[] = [];
  /** Steps that got ENOMEM. */
  failures = 0;

  constructor(m: Machine, given: Claims["given"]) {
    this.m = m;
    this.#given = given;
  }

  /** Blocks held now. */
  get size(): number {
    return this.#pfn.length;
  }

  /** What the rules need to be told. */
  claims(): Claims {
    return { given: this.#given, held: this.#held() };
  }

  *#held(): Generator<HeldBlock> {
    for (let i = 0; i < this.#pfn.length; i++) {
      const subtype = this.#type[i] === T_MISC ? MISC_UNKNOWN : 0;
      yield {
        pfn: this.#pfn[i],
        order: this.#order[i],
        type: this.#type[i],
        subtype,
        refs: this.#refs[i],
      };
    }
  }

  /** One operation, decoded from a 32-bit number. */
  step(n: number): void {
    const order = ORDERS[(n >>> 4) & 15];
    const pick = n >>> 8;
    switch (n & 15) {
      case 0:
      case 1:
        return this.#keep(this.m.allocPages(order, pick % 3), order, T_MISC, 0);
      case 2:
      case 3:
      case 4:
      case 5:
        return this.#folio(order, FOLIOS[pick & 3]);
      case 6:
      case 7:
        return this.#typed(order, TYPED[pick % TYPED.length]);
      case 8:
        return this.#get(pick);
      case 15:
        return this.#upkeep(pick);
      default:
        return this.#drop(pick);
    }
  }

  #folio(order: number, type: PageType): void {
    if (this.m.design.holds(type)) this.#keep(this.m.allocFolio(order, type), order, type, 1);
    else this.#refused(this.m.allocFolio(order, type), type);
  }

  #typed(order: number, type: PageType): void {
    if (this.m.design.holds(type)) this.#keep(this.m.allocTyped(order, type), order, type, 0);
    else this.#refused(this.m.allocTyped(order, type), type);
  }

  #refused(result: number, type: PageType): void {
    if (result !== EINVAL)
      throw new RuleViolation("types that a design has not are refused", result, `type ${type}`);
  }

  #keep(pfn: number, order: number, type: PageType, refs: number): void {
    if (pfn < 0) {
      if (pfn !== ENOMEM) throw new RuleViolation("failure is ENOMEM", -1, `it is ${pfn}`);
      this.failures++;
      return;
    }
    this.#pfn.push(pfn);
    this.#order.push(order);
    this.#type.push(type);
    this.#refs.push(refs);
  }

  #get(pick: number): void {
    const i = pick % Math.max(1, this.#pfn.length);
    if (i >= this.#pfn.length || !isFolioType(this.#type[i])) return;
    this.m.getFolio(this.#pfn[i]);
    this.#refs[i]++;
  }

  #drop(pick: number): void {
    if (this.#pfn.length === 0) return;
    const i = pick % this.#pfn.length;
    const pfn = this.#pfn[i];
    if (isFolioType(this.#type[i])) {
      this.m.putFolio(pfn);
      if (--this.#refs[i] > 0) return;
    } else if (this.#type[i] === T_MISC) this.m.freePages(pfn, this.#order[i]);
    else this.m.freeTyped(pfn);
    this.#forget(i);
  }

  #forget(i: number): void {
    for (const list of [this.#pfn, this.#order, this.#type, this.#refs] as number[][]) {
      const last = list.pop() as number;
      if (i < list.length) list[i] = last;
    }
  }

  /** What happens now and then: another CPU, caches shrunk, lists drained. */
  #upkeep(pick: number): void {
    const { allocator, caches } = this.m;
    if (pick % 64 === 0) caches.shrink();
    else if (pick % 64 === 1) allocator.drainAll();
    else allocator.cpu = pick % allocator.cpus;
  }

  /** Gives back everything, and makes caches and per-CPU lists give back theirs. */
  finish(): void {
    while (this.#pfn.length > 0) this.#drop(this.#pfn.length - 1);
    this.m.caches.shrink();
    this.m.allocator.drainAll();
  }
}
