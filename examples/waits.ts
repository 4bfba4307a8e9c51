/**
 * Waits that block and wake. A folio's lock lets one in at a time; who faults on a
 * page that is on its way elsewhere finds a migration entry, sleeps until the folio
 * is unlocked, and tries again; what it did before it slept is done once.
 */
import { defineScenario, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from "memdesc";

const RW = PROT_READ | PROT_WRITE;
const PAGE = 4096;

export default defineScenario({
  name: "waits",
  about: "threads that sleep until a folio is unlocked, and wake",
  machine: { memory: "64MiB" },

  run(s) {
    const { folios } = s.kernel.base;
    const p = s.step("a process", () => s.kernel.createProcess());
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const heap = p.mmap({ length: 4 * PAGE, prot: RW, flags });
    const write = (page: number, byte: number): void =>
      p.write(heap + page * PAGE, Uint8Array.of(byte));
    s.step("it writes two pages", () => [write(0, 1), write(1, 1)]);
    const pfn = p.pagemap(heap).pfn;
    const folio = folios.ofPage(pfn);
    const inTurn = (): void => {
      folios.lock(folio);
      folios.unlock(folio);
    };

    s.step("somebody locks the folio of the first", () => folios.lock(folio));
    s.threads("two want the lock, then its holder lets go", {
      first: inTurn,
      second: inTurn,
      holder: () => folios.unlock(folio),
    });

    const begins = (): void => {
      folios.get(folio);
      folios.lock(folio);
      s.kernel.unmap.folio(folio, "migration", false);
    };
    s.step("migration begins: a migration entry maps it", begins, { unfinished: true });
    s.expect("nothing is mapped there", !p.pagemap(heap).present);
    s.threads("a thread writes both pages, from the second on", {
      writer: () => [write(1, 2), write(0, 2)],
      other: () => write(1, 3),
      migration: () => {
        s.kernel.unmap.restore(folio, pfn, pfn, 0);
        folios.unlock(folio);
        folios.put(folio);
      },
    });
    s.expect("the write that had to wait is there", p.read(heap, 1)[0], 2);
    s.expect("the one before it was not repeated", p.read(heap + PAGE, 1)[0], 3);

    s.step("another process has the page too", () => p.fork());
    s.step("and somebody the lock", () => folios.lock(folio));
    s.threads("one process ends, which waits for nobody", {
      sleeper: inTurn,
      exit: () => p.exit(),
      holder: () => folios.unlock(folio),
    });
  },
});
