/**
 * Which orders of folio an anonymous fault may use: the settings under
 * transparent_hugepage, the VMA's advice, the process's.
 *
 * Source: include/linux/huge_mm.h of 6.18 (thp_vma_allowable_orders).
 */
import { VM_HUGEPAGE, VM_NOHUGEPAGE, PMD_ORDER } from "./constants.js";
import type { Policy } from "./policy.js";

export class ThpPolicy {
  readonly #always: number;
  readonly #madvise: number;

  constructor(policy: Policy) {
    let always = 0;
    let madvise = 0;
    for (let order = 1; order <= PMD_ORDER; order++) {
      const own = policy.thpOrders[order] ?? (order === PMD_ORDER ? "inherit" : "never");
      const choice = own === "inherit" ? policy.thp : own;
      if (choice === "always") always |= 1 << order;
      if (choice === "madvise") madvise |= 1 << order;
    }
    this.#always = always;
    this.#madvise = madvise;
  }

  /** Bit n: order n is allowed in a VMA with these flags. */
  anonOrders(flags: number): number {
    if ((flags & VM_NOHUGEPAGE) !== 0) return 0;
    return this.#always | ((flags & VM_HUGEPAGE) !== 0 ? this.#madvise : 0);
  }
}
