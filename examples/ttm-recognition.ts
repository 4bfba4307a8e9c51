/**
 * How a driver knows its own pages, with a second driver that writes page->private.
 * By page->mapping it ends with struct page; by private it fails where somebody
 * else writes that word; by folio, or by a mark of one's own, it works everywhere.
 */
import { defineScenario, MmError, PrivateWriter, RECOGNITIONS, ref, TtmDevice } from "memdesc";
import type { Recognition } from "memdesc";

export default defineScenario({
  name: "ttm recognition",
  about: "four ways to know one's own pages, and a driver that writes private",
  machine: { memory: "64MiB" },

  run(s) {
    const { kernel } = s;
    const other = new PrivateWriter(kernel);

    /** Null where pages have nothing to recognise them by. */
    const open = (recognise: Recognition): TtmDevice | null => {
      try {
        return new TtmDevice(kernel, { recognise, poolOrder: "table" });
      } catch (error) {
        s.finding(`by ${recognise}`, error instanceof MmError ? error.code : String(error));
        return null;
      }
    };

    for (const recognise of RECOGNITIONS) {
      const device = open(recognise);
      if (device === null) continue;
      const table = device.table();
      s.step(`by ${recognise}: an own page, lent to the second driver`, () => table.populate(1));
      const [frame] = table.frames;
      try {
        s.step("which writes its private", () => other.writePrivate(frame, ref(0x40)));
      } catch (error) {
        s.note(error instanceof Error ? error.message : String(error));
      }
      const { wrong } = s.step("the table goes", () => table.unpopulate());
      s.finding(`by ${recognise}`, wrong.length === 0 ? "works" : wrong[0].message);
      // What recognition lost is given back by hand.
      if (wrong.length > 0) device.freePage(frame);
      device.close();
    }
    s.note("And ttm_pool.c keeps the page's order in private, so that way is taken already:");
    if (open("private") !== null)
      s.refused(
        "EBUSY",
        () => new TtmDevice(kernel, { recognise: "private", poolOrder: "private" }),
      );
  },
});
