/**
 * RDMA read of GPU memory: a NIC with on-demand paging reads pages that a GPU has. Where both
 * sides offer it they are read where they are, by an alias in the GPU's PCI window, which has
 * a pfn in every design; else each is brought to RAM first.
 */
import { defineScenario, PeerGpu, RdmaDevice } from "memdesc";
import { IB_ACCESS_LOCAL_WRITE, IB_ACCESS_ON_DEMAND } from "memdesc";
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "memdesc";

const PAGE = 4096;
const PAGES = 16;
const LENGTH = PAGES * PAGE;
const ON_GPU = 12;
/** 2 MiB, of which a window's size is a multiple. */
const WINDOW = 512;
const wanted = Array.from({ length: PAGES }, (_, i) => 100 + i);
/** First byte of each page. */
const marks = (data: Uint8Array): string => wanted.map((_, i) => data[i * PAGE]).join(" ");

export default defineScenario({
  name: "RDMA read of GPU memory",
  about: "a NIC reads a GPU's pages where they are, is told of every change, and falls back to RAM",
  machine: { memory: "64MiB", device: { private: "128MiB", span: "128MiB" } },

  run(s) {
    const { kernel, devices } = s;
    const bar = { start: devices.pagemaps.span.start, pages: WINDOW };
    const gpu = new PeerGpu(devices, { pages: 2 * WINDOW, bar, barOffset: WINDOW });
    const nic = new RdmaDevice(devices);
    if (gpu.window !== null) nic.connect(gpu.window, "bus");
    const p = kernel.createProcess();
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const at = p.mmap({ length: LENGTH, prot: PROT_READ | PROT_WRITE, flags });
    for (const [i, mark] of wanted.entries()) p.write(at + i * PAGE, Uint8Array.of(mark));
    const moved = s.step("12 of 16 pages move to the GPU", () => gpu.toDevice(p, at, ON_GPU));
    s.expect("moved", moved, ON_GPU);
    s.finding("the private page has a pfn", "pfnOf" in devices.numbers.naming);

    const access = IB_ACCESS_ON_DEMAND | IB_ACCESS_LOCAL_WRITE;
    const region = nic.register(p, at, LENGTH, access);
    const seen = s.step("the NIC reads all of it: nothing is pinned", () => region.read(0, LENGTH));
    s.expect("every page is what the process has", marks(seen.data), wanted.join(" "));
    s.expect("every page was read once", seen.peerBytes + seen.ramBytes, LENGTH);
    s.finding("pages read through the peer", seen.peerBytes / PAGE);
    s.finding("pages migrated to RAM for it", ON_GPU - gpu.map.inService);
    s.finding("the NIC's page has a pfn", (region.page(0)?.pfn ?? -1) >= 0);

    s.step("the process writes to a page, which brings it to RAM", () =>
      p.write(at, Uint8Array.of(7)),
    );
    s.expect("the NIC sees it", region.read(0, 1).data[0], 7);
    const last = (ON_GPU - 1) * PAGE;
    s.step("the NIC writes to one that the GPU had", () => region.write(last, Uint8Array.of(8)));
    s.expect("the process sees it", p.read(at + last, 1)[0], 8);

    const gone = s.step("the GPU's driver is unloaded under the NIC", () => gpu.unload());
    s.expect("it can", gone, 0);
    const after = s.step("the NIC reads on, from RAM", () => region.read(0, LENGTH));
    const now = wanted
      .with(0, 7)
      .with(ON_GPU - 1, 8)
      .join(" ");
    s.expect("every page is what the process has", marks(after.data), now);
    s.expect("bytes from the peer", after.peerBytes, 0);
    nic.close();
    s.expect("what is mapped for the NIC", nic.dma.mapped, 0);
    p.exit();
  },
});
