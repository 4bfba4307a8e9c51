/**
 * RDMA read of GPU memory: a NIC with on-demand paging reads pages that a GPU has. Where
 * both sides offer it they are read where they are, by an alias in the GPU's PCI window;
 * else each is brought to RAM first.
 *
 * The alias has a pfn in every design. The private page has one only where device memory
 * is a stolen range of physical addresses.
 */
import {
  defineScenario,
  IB_ACCESS_LOCAL_WRITE,
  IB_ACCESS_ON_DEMAND,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PeerGpu,
  PROT_READ,
  PROT_WRITE,
  RdmaDevice,
} from "memdesc";

const PAGE = 4096;
const PAGES = 16;
const ON_GPU = 12;
/** 2 MiB, of which a window's size is a multiple. */
const WINDOW = 512;

/** First byte of each page. */
const marks = (data: Uint8Array): number[] =>
  Array.from({ length: PAGES }, (_, i) => data[i * PAGE]);

export default defineScenario({
  name: "RDMA read of GPU memory",
  about: "a NIC reads a GPU's pages where they are, is told of every change, and falls back to RAM",
  machine: { memory: "64MiB", device: { private: "128MiB", span: "128MiB" } },

  run(s) {
    const { kernel, devices } = s;
    const bar = { start: devices.pagemaps.span.start, pages: WINDOW };
    const gpu = s.step(
      "a GPU with 4 MiB of memory, half of it in its PCI window",
      () => new PeerGpu(devices, { pages: 2 * WINDOW, bar, barOffset: WINDOW }),
    );
    s.finding("what describes a byte of the window", gpu.descriptions.join(" and "));
    const nic = new RdmaDevice(devices);
    if (gpu.window !== null) nic.connect(gpu.window, "bus");

    const p = kernel.createProcess();
    const at = p.mmap({
      length: PAGES * PAGE,
      prot: PROT_READ | PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS,
    });
    const wanted = Array.from({ length: PAGES }, (_, i) => 100 + i);
    for (const [i, mark] of wanted.entries()) p.write(at + i * PAGE, Uint8Array.of(mark));
    s.step("twelve of sixteen pages move to the GPU", () => {
      s.expect("moved", gpu.toDevice(p, at, ON_GPU), ON_GPU);
    });
    const first = gpu.pageAt(p, at);
    const { numbers, naming } = devices;
    const number = `${numbers.high(first)}:${numbers.low(first)}`;
    s.note(`the first page is number ${number} of the naming "${naming.name}"`);
    s.finding("the private page has a pfn", "pfnOf" in naming);

    const region = s.step("the process registers all of it with the NIC: nothing is pinned", () =>
      nic.register(p, at, PAGES * PAGE, IB_ACCESS_ON_DEMAND | IB_ACCESS_LOCAL_WRITE),
    );
    const seen = s.step("the NIC reads it", () => {
      const { error, data, peerBytes, ramBytes, faults } = region.read(0, PAGES * PAGE);
      s.expect("it can", error, 0);
      s.expect("page faults of the NIC", faults, 1);
      s.expect("every page is what the process has", marks(data).join(" "), wanted.join(" "));
      return { peer: peerBytes / PAGE, ram: ramBytes / PAGE };
    });
    s.finding("pages read through the peer", seen.peer);
    s.finding("pages migrated to RAM for it", ON_GPU - gpu.map.inService);
    s.expect("every page was read once", seen.peer + seen.ram, PAGES);
    const page = region.page(0);
    s.finding("the NIC's page is", page?.kind ?? "not mapped");
    s.finding("the NIC's page has a pfn", (page?.pfn ?? -1) >= 0);
    if (page !== null)
      s.note(
        `the NIC reads it at 0x${page.address.toString(16)}${page.bus ? ", a bus address" : ""}`,
      );

    s.step("the process writes to the first page, which brings it to RAM", () =>
      p.write(at, Uint8Array.of(7)),
    );
    s.expect("the NIC is told", region.page(0) === null || gpu.map.inService === 0);
    s.step("the NIC reads it again", () => {
      const { data, peerBytes } = region.read(0, 1);
      s.expect("it sees what was written", data[0], 7);
      s.expect("in RAM", peerBytes, 0);
    });

    s.step("the NIC writes to the last page that the GPU had", () => {
      const { error } = region.write((ON_GPU - 1) * PAGE, Uint8Array.of(8));
      s.expect("it can", error, 0);
      s.expect("the process sees it", p.read(at + (ON_GPU - 1) * PAGE, 1)[0], 8);
    });

    s.step("the GPU's driver is unloaded while the NIC has its memory", () => {
      s.expect("it can", gpu.unload(), 0);
    });
    s.step("the NIC goes on, from RAM", () => {
      const { data, peerBytes, ramBytes } = region.read(0, PAGES * PAGE);
      const now = wanted.with(0, 7).with(ON_GPU - 1, 8);
      s.expect("every page is what the process has", marks(data).join(" "), now.join(" "));
      s.expect("nothing from the peer", peerBytes, 0);
      s.expect("all from RAM", ramBytes, PAGES * PAGE);
    });
    const { invalidations, retries } = region.counts;
    s.finding("pages taken from the NIC again", invalidations);
    s.finding("looks of the NIC that came too late", retries);

    s.step("everybody goes", () => {
      nic.close();
      s.expect("nothing is mapped for the NIC", nic.dma.mapped, 0);
      p.exit();
    });
  },
});
