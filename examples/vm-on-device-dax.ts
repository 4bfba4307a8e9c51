/**
 * A virtual machine on device-dax memory: the host maps none of it, so under
 * `request` nothing describes it, until passthrough is switched on and every page is
 * needed at once.
 */
import { defineScenario, MEMORY_DEVICE_GENERIC, MmError } from "memdesc";

const PAGE = 4096;

/** It is mapped in huge pages. */
const PMD_ORDER = 9;
const PMD_PAGES = 512;
/** Memory of the guest. */
const GUEST = 64 * 2 ** 30;
/** Huge pages of it. */
const FOLIOS = GUEST / PAGE / PMD_PAGES;

export default defineScenario({
  name: "vm on device dax",
  about:
    "64 GiB of device-dax memory for a guest: described when it is mapped, when it is asked for, or never",
  machine: { memory: "256MiB", device: { private: 0, span: GUEST } },

  run(s) {
    const { devices, machine } = s;
    const records = (): number => (machine.deviceArea?.frames ?? 0) * PAGE;
    const map = s.step("64 GiB of device-dax memory is mapped for a guest", () => {
      try {
        return devices.mapPages({
          name: "dax0.0",
          type: MEMORY_DEVICE_GENERIC,
          ranges: [{ start: machine.deviceFirst, pages: GUEST / PAGE }],
          folioOrder: PMD_ORDER,
        });
      } catch (error) {
        if (!(error instanceof MmError)) throw error;
        s.finding("mapping it", error.code);
        return null;
      }
    });
    if (map === null) {
      s.note("what describes 64 GiB does not fit the host's 256 MiB");
      return;
    }
    s.finding("mapping it", "done");
    s.finding("bytes that describe it while the guest runs", records());
    if (devices.choice.activation !== "request") return;

    let asked = 0;
    let full = false;
    s.repeat("passthrough is switched on: the guest's pages are pinned", FOLIOS, (i) => {
      full ||= devices.zoneDevice.request(map, i * PMD_PAGES, PMD_ORDER) < 0;
      if (!full) asked += PMD_PAGES;
    });
    s.finding("pages that could be had", asked);
    s.finding("bytes that describe them", records());
    s.repeat("and off again", asked / PMD_PAGES, (i) => {
      const page = map.pageAt(i * PMD_PAGES);
      const side = devices.sideOf(page);
      side.folios.put(side.folioOf(page));
    });
    s.finding("bytes that describe it afterwards", records());
    s.step("the guest is gone", () => devices.pagemaps.unmap(map));
  },
});
