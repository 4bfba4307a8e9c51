/**
 * Device memory, by design: pages to a device and back, snapshots, activation, what
 * looking a page up by its number costs, and host bytes for a GiB of it.
 *
 * The driver stores nothing, so the figures are the engine's: collection, migration
 * entries, records, reverse map and lists, no data. Three namings and three records
 * are beside each other in one run; each design has an isolate of its own.
 */
import { own } from "./places.js";
import { figure, heading, note, progress, short } from "./print.js";
import { mustRun } from "./processes.js";
import type { Section } from "./section.js";

const FOLIO = "device-offset+device-record=folio";
/** Today's words under each naming and record, and the smallest word. */
const DESIGNS = ["today", "device-offset", FOLIO, "device-tuple", "memdesc8"];

/** Operations and their targets: million per second. */
const OPERATIONS: readonly { name: string; least?: number; againstToday?: number }[] = [
  { name: "order 0 to device", least: 2 },
  { name: "order 0 to RAM", least: 2 },
  { name: "PMD to device" },
  { name: "PMD to RAM" },
  { name: "snapshot, order 0 in RAM", least: 20 },
  { name: "snapshot, order 0 with the device", least: 20 },
  { name: "snapshot, PMD with the device" },
  { name: "activate and put" },
  { name: "number to record, 1 map", againstToday: 1 },
  { name: "number to record, 200 maps", againstToday: 1 },
];

type Series = Readonly<Record<string, readonly number[]>>;

const rate = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1];

export const device: Section = {
  name: "device",
  async run(quick) {
    const of = new Map<string, Series>();
    for (const design of DESIGNS) {
      progress(`device memory: ${design}`);
      const args = [own("device-child"), design, ...(quick ? ["2", "8192"] : ["11", "65536"])];
      of.set(design, JSON.parse((await mustRun(process.execPath, args)).stdout) as Series);
    }
    for (const { name, least, againstToday } of OPERATIONS) {
      heading(`DEVICE MEMORY: ${name}`, "million pages/s");
      const today = (of.get("today")?.[name] ?? []).map((ns) => 1000 / ns);
      for (const design of DESIGNS) {
        const values = (of.get(design)?.[name] ?? []).map((ns) => 1000 / ns);
        const ratio =
          againstToday !== undefined && design === "device-tuple"
            ? { ratio: rate(values) / rate(today), target: { least: againstToday } }
            : {};
        figure({
          name: design.replace("device-offset+device-record=folio", "device-offset, folio record"),
          values,
          ...(least !== undefined && { target: { least } }),
          ...ratio,
        });
      }
    }
    await hostBytes();
    note(
      "65,536 pages a round; the pages of a process of 256 MiB. number to record: from the number in an entry to the place of the page's record, in an order that caches do not like; device-tuple against the pfns of today.",
    );
  },
};

/** Frames of the host that describe 1 GiB of device memory: idle, and with every page in service. */
async function hostBytes(): Promise<void> {
  console.log("\nHOST BYTES for 1 GiB of device memory (static, every page in service)");
  for (const design of DESIGNS) {
    progress(`host bytes: ${design}`);
    const { stdout } = await mustRun(process.execPath, [own("device-bytes-child"), design]);
    const { idle, single, huge } = JSON.parse(stdout) as Record<string, number>;
    const mib = (n: number): string => `${short(n / 2 ** 20).padStart(8)} MiB`;
    const name = design.replace("device-offset+device-record=folio", "device-offset, folio");
    console.log(`  ${name.padEnd(24)}idle${mib(idle)}  order 0${mib(single)}  PMD${mib(huge)}`);
  }
}
