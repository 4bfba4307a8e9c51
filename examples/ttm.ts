/**
 * TTM: a table of a graphics driver's own pages, a process's and another
 * driver's. When it goes, only its own may go back to the pool. Recognised by the
 * mapping of a folio, which works in every design; see ttm-recognition for others.
 */
import {
  defineScenario,
  FOLL_PIN,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PrivateWriter,
  PROT_READ,
  PROT_WRITE,
  TtmDevice,
} from "memdesc";

const PAGE = 4096;

export default defineScenario({
  name: "ttm",
  about: "own, user and imported pages in one table, mapped by frame number",
  machine: { memory: "64MiB" },

  run(s) {
    const { kernel } = s;
    const p = kernel.createProcess();
    const user = p.mmap({
      length: 2 * PAGE,
      prot: PROT_READ | PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS,
    });
    p.write(user, new Uint8Array(2 * PAGE).fill(1));
    const other = new PrivateWriter(kernel);
    const lent = other.allocate(2);

    const gpu = new TtmDevice(kernel, { recognise: "folio" });
    const table = gpu.table();
    s.step("four own pages, two of a process, two of another driver", () => {
      table.populate(4);
      table.addUserPages(p, user, 2 * PAGE);
      table.importPages(lent);
    });
    s.show("own, user, imported", [table.frames[0], table.frames[4], table.frames[6]]);
    s.refused("EPERM", () => table.mmap(p));
    s.step("the GPU writes into the process's page", () =>
      table.write(4 * PAGE, Uint8Array.of(42)),
    );
    s.expect("the process reads it", p.read(user, 1)[0], 42);
    const end = s.step("the table goes", () => table.unpopulate());
    s.expect("its own pages, and no others, are back in the pool", end.freed, 4);

    const own = gpu.table();
    own.populate(1);
    const at = s.step("a table of own pages, mapped by frame number", () => own.mmap(p));
    p.write(at, Uint8Array.of(7));
    s.refused("EFAULT", () => p.gup(at, PAGE, FOLL_PIN));
    p.munmap(at, PAGE);
    own.unpopulate();

    p.exit();
    other.free();
    gpu.close();
  },
});
