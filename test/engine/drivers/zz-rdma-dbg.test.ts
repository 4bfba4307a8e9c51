import { expect, test } from "vitest";
import { PeerGpu } from "/work/main/src/engine/drivers/rdma/peer-gpu.js";
import { boot, fill, lost, PAGE, wrong } from "/work/main/test/engine/drivers/designs.js";
test.each(["8MiB","16MiB","32MiB"])("%s", (memory) => {
  const b = boot("memdesc8+device-name=tuple+device-record=folio+activation=request+device-lifetime=request+peer=alias", { memory, device: { private: "128MiB", span: "128MiB" } });
  const gpu = new PeerGpu(b.devices, { pages: 1024 });
  const p = b.kernel.createProcess();
  const wide = p.mmap({ length: 3 * 512 * PAGE, prot: 3, flags: 0x22 });
  const at = Math.ceil(wide / (512 * PAGE)) * 512 * PAGE;
  p.madvise(at, 512 * PAGE, 14);
  fill(p, at, 512);
  console.log(gpu.toDevice(p, at, 512), b.kernel.settle());
  p.munmap(at, 10 * PAGE);
  console.log(gpu.map.inService, b.devices.record.orderOf(gpu.pageAt(p, at+10*PAGE)));
  try { console.log(lost(p, at, 502, 10)); } catch (e) { console.log(String(e), gpu.map.inService, b.kernel.settle()); }
});
