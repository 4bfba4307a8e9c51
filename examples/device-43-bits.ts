/**
 * The failure that started the series: device-private memory takes physical
 * addresses, and on a machine of 43 bits with a PCI window behind its RAM there are
 * none left. Where it has an address space of its own, nothing is taken.
 */
import { defineScenario, MEMORY_DEVICE_PRIVATE, MmError } from "memdesc";

const GIB = 2 ** 30;
const PAGE = 4096;
/** The machine's RAM and firmware ranges end here; the window takes all that is above. */
const WINDOW_START = GIB;

export default defineScenario({
  name: "device 43 bits",
  about: "a PCI window behind RAM leaves no physical addresses for a GPU's memory",
  machine: {
    memory: "64MiB",
    device: {
      private: "1GiB",
      span: "128MiB",
      physicalBits: 43,
      windows: [{ name: "PCI window", start: WINDOW_START, size: 2 ** 43 - WINDOW_START }],
    },
  },

  run(s) {
    const { devices } = s;
    for (const { name, start, end } of devices.physical.resources())
      s.note(`${name}: 0x${(start * PAGE).toString(16)} … 0x${(end * PAGE - 1).toString(16)}`);

    const gpu = {
      name: "GPU",
      type: MEMORY_DEVICE_PRIVATE,
      // What is left below the window is less than that.
      pages: (1000 * 2 ** 20) / PAGE,
      owner: {},
      ops: { folioFree: () => {}, migrateToRam: () => -1007 },
    };
    const outcome = s.step("a driver maps 1,000 MiB of GPU memory", () => {
      try {
        return devices.mapPages(gpu);
      } catch (error) {
        if (error instanceof MmError) return error.code;
        throw error;
      }
    });
    if (typeof outcome === "string") {
      s.finding("mapping it", outcome);
      s.expect("only physical addresses can run out here", devices.naming.name, "physical");
      return;
    }
    s.finding("mapping it", "done");
    s.expect("its numbers are no physical addresses", devices.naming.name !== "physical");
    s.step("the driver goes", () => devices.pagemaps.unmap(outcome));
  },
});
