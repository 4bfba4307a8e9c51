/**
 * Names of events as they stand in the text: which of them Memdesc reads and what to
 * look for in their lines, and how often the others came.
 */
import { ByteTable, textOf } from "./bytes.js";
import { type TextPlan, textPlans } from "./fields.js";

/** Names that are counted each for itself; garbage cannot make more. */
const MOST_NAMES = 2048;

export class EventNames {
  private readonly known = textPlans();
  private readonly names = new ByteTable(MOST_NAMES);
  /** By number of a name: null for other events. */
  private readonly plans: (TextPlan | null)[] = [];
  private readonly counts: number[] = [];
  private more = 0;

  /** Whether this is the name of an event that is read. */
  has(name: string): boolean {
    return this.known.has(name);
  }

  /**
   * What to look for in a line of the event whose name lies between two places, with
   * its system from `full` on. Null, and counted, for another event.
   */
  planOf(buf: Uint8Array, full: number, from: number, to: number): TextPlan | null {
    const id = this.names.find(buf, full, to);
    if (id < 0) {
      this.more++;
      return null;
    }
    if (id === this.plans.length) {
      this.plans.push(this.known.get(textOf(buf, from, to)) ?? null);
      this.counts.push(0);
    }
    const plan = this.plans[id];
    if (plan === null) this.counts[id]++;
    return plan;
  }

  /** Counts an event that is called so in no kernel. */
  count(name: string): void {
    const bytes = new TextEncoder().encode(name);
    this.planOf(bytes, 0, 0, bytes.length);
  }

  /** Other events by name. */
  others(): Map<string, number> {
    const out = new Map<string, number>();
    for (const [id, n] of this.counts.entries()) if (n > 0) out.set(this.names.texts[id], n);
    if (this.more > 0) out.set("(more names)", this.more);
    return out;
  }
}
