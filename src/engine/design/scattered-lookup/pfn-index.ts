/**
 * pfn-index: a tree from frame to object, read without a lock. The page keeps
 * node and zone; a lookup costs a walk, an object an entry for every page.
 *
 * A radix tree of 64 slots a node, as struct xa_node (576 bytes); what the seed
 * leaves open ("look up the page's pfn in some data structure") is invented.
 */
import type { Ref } from "../../../units.js";
import { RadixTree } from "../../words/radix-tree.js";
import { addressHigh, addressLow, refOfAddress } from "../../words/words.js";
import { MISC_VMALLOC, type LookupContext, type ScatteredLookup } from "./axis.js";

export class PfnIndex implements ScatteredLookup {
  readonly name = "pfn-index";
  readonly fromPage = true;
  readonly mappingHolds = "page";
  readonly slotBytes = 0;
  readonly #c: LookupContext;
  readonly #tree: RadixTree;

  constructor(context: LookupContext) {
    this.#c = context;
    this.#tree = new RadixTree({
      w: context.w,
      root: context.indexRoot,
      newNode: () => context.newNode(),
      freeNode: (node) => context.freeNode(node),
    });
  }

  enter(pfn: number, zone: number, object: Ref, _slot: Ref): boolean {
    if (!this.#tree.store(pfn, addressLow(object), addressHigh(object))) return false;
    this.#c.link.bindMisc(pfn, 0, MISC_VMALLOC, true, zone);
    return true;
  }

  leave(pfn: number): void {
    this.#tree.erase(pfn);
  }

  ofPage(pfn: number): Ref {
    const lo = this.#tree.load(pfn);
    return refOfAddress(lo, this.#c.w.hi);
  }

  ofVma(_privateData: Ref, _filePrivate: Ref): Ref {
    return 0 as Ref;
  }
}
