/**
 * Huge pages of coherent memory. No case of the text has them: a coherent mirror
 * device's one chunk is made for single pages, unless it was released and a huge page
 * is asked for first. Then a folio behind the RAM is mapped by a PMD, split, unmapped
 * in part and taken back, with what each part is to give back at the end.
 */
import { describe, expect, it } from "vitest";
import { hmm } from "../../conformance/cases/case.js";
import { showsEverywhere } from "../../conformance/cases/codes.js";
import { Rig } from "../../conformance/harness.js";
import { PMD_SIZE, type HmmBuffer, type Test } from "../../conformance/testing.js";
import { parseDesign } from "../../src/engine/design/presets.js";
import {
  PROT_DEV_COHERENT_LOCAL,
  PROT_PMD,
  PROT_WRITE,
} from "../../src/engine/drivers/mirror/snapshot-codes.js";
import { MADV_HUGEPAGE } from "../../src/engine/process/constants.js";

const NPAGES = PMD_SIZE / 4096;
const OPTIONS = { largest: 4, seed: 1, now: () => 0 };

/** A huge page on the coherent device. */
function hugeThere(t: Test): { readonly buffer: HmmBuffer; readonly must: Int32Array } {
  const buffer = t.aligned(NPAGES);
  t.ret(t.madvise(buffer.ptr, PMD_SIZE, MADV_HUGEPAGE), 0);
  const must = t.init(buffer);
  t.ret(t.release(t.fd, buffer, 1), 0);
  t.did(t.toDevice(t.fd, buffer, NPAGES), buffer, NPAGES);
  t.did(t.snapshot(t.fd, buffer, NPAGES), buffer, NPAGES);
  showsEverywhere(t, buffer, NPAGES, PROT_DEV_COHERENT_LOCAL | PROT_WRITE | PROT_PMD);
  return { buffer, must };
}

const WORK: Readonly<Record<string, (t: Test) => void>> = {
  "is read where it is": (t) => {
    const { buffer, must } = hugeThere(t);
    t.sees(buffer.ptr, must);
  },
  "is unmapped in part": (t) => {
    const { buffer, must } = hugeThere(t);
    t.ret(t.munmap(buffer.ptr + PMD_SIZE / 4, PMD_SIZE / 2), 0);
    t.sees(buffer.ptr, must.subarray(0, must.length / 4));
  },
  "is copied when a child writes": (t) => {
    const { buffer, must } = hugeThere(t);
    const child = t.fork();
    child.poke(buffer.ptr, -1);
    child.exit();
    t.sees(buffer.ptr, must);
  },
  "comes back page by page where a part of it is wanted": (t) => {
    const { buffer, must } = hugeThere(t);
    t.ret(t.munmap(buffer.ptr, PMD_SIZE / 2), 0);
    buffer.ptr += PMD_SIZE / 2;
    t.did(t.toSystem(t.fd, buffer, NPAGES / 2), buffer, NPAGES / 2);
    t.sees(buffer.ptr, must.subarray(must.length / 2));
  },
  "is taken back when the device is closed": (t) => {
    const { buffer, must } = hugeThere(t);
    t.ret(t.close(t.fd), 0);
    t.sees(buffer.ptr, must);
  },
};

const DEVICE = "device-lifetime=request+activation=request";

describe.each([
  "today",
  "today+init-reset=off+device-lifetime=chunk",
  `today+separated=folio+${DEVICE}+request-order=match`,
  `page32+${DEVICE}`,
  `memdesc16+${DEVICE}+device-name=offset+device-record=folio+request-refs=page`,
  `memdesc8+${DEVICE}+device-name=tuple+device-record=device-private`,
  "slot64+activation=request+request-order=match",
])("a huge page of coherent memory in %s", (name) => {
  it.each(Object.keys(WORK))("%s", (what) => {
    const rig = new Rig(parseDesign(name), OPTIONS);
    expect(rig.run(hmm(what, WORK[what]), "device_coherent").failure).toBeNull();
    expect(rig.end()).toBeNull();
  });
});
