/**
 * Steps of a walk on files: read, write, truncate, punch a hole, sync, replace.
 */
import type { Draw } from "./program.js";
import { punchHole, readFile, truncate, writeFile, type RefObject } from "./reference.js";
import type { LiveFile, WalkState } from "./walk-state.js";

const PAGE = 4096;
/** Pages that a file may have. */
const MOST = 96;

export function create(s: WalkState, draw: Draw): void {
  if (s.files.length >= 4) return;
  const kind = draw.of(["disk", "tmpfs"] as const);
  const size = draw.below(MOST / 2) * PAGE + draw.of([0, 0, 100]);
  s.doing = `create a file of ${kind}, ${size} bytes`;
  const got = s.outcome(() => {
    const file = s.kernel.createFile(kind, size);
    const object: RefObject = { kind, size, pages: new Map() };
    s.files.push({ file, object });
  });
  s.agree(got, "");
}

/** Closed and unlinked: mappings keep it. */
export function remove(s: WalkState, draw: Draw): void {
  if (s.files.length === 0) return;
  s.doing = "unlink of a file";
  const [gone] = s.files.splice(draw.below(s.files.length), 1);
  gone.file.close();
  gone.file.unlink();
}

function sameSize(s: WalkState, { file, object }: LiveFile): void {
  if (file.size !== object.size)
    s.fail(`the file has ${file.size} bytes, it must have ${object.size}`);
}

export function operate(s: WalkState, draw: Draw): void {
  if (s.files.length === 0) return create(s, draw);
  const live = draw.of(s.files);
  const { file, object } = live;
  const offset = draw.below(Math.min(MOST * PAGE, object.size + 2 * PAGE));
  const length = 1 + draw.below(draw.of([16, PAGE, 5 * PAGE]));
  switch (draw.below(8)) {
    case 0:
    case 1:
      return readBack(s, live, offset, length);
    case 2:
    case 3:
    case 4:
      return append(s, live, offset, draw.bytes(Math.min(length, 24)));
    case 5:
      s.doing = `truncate to ${offset} bytes`;
      file.truncate(offset);
      truncate(
        object,
        offset,
        s.lives.map((l) => l.ref),
      );
      return sameSize(s, live);
    case 6:
      s.doing = `punch a hole of ${length} bytes at ${offset}`;
      file.punchHole(offset, length);
      punchHole(object, offset, length);
      return;
    default:
      s.doing = "sync";
      file.sync();
  }
}

function readBack(s: WalkState, { file, object }: LiveFile, offset: number, length: number): void {
  s.doing = `read ${length} bytes of a file at ${offset}`;
  let bytes: Uint8Array = new Uint8Array(0);
  const got = s.outcome(() => {
    bytes = file.read(offset, length);
  });
  if (!s.agree(got, "")) return;
  const must = readFile(object, offset, length);
  if (bytes.length !== must.length) s.fail(`${bytes.length} bytes, it must be ${must.length}`);
  const at = must.findIndex((b, i) => b !== bytes[i]);
  if (at >= 0) s.fail(`byte ${offset + at} is ${bytes[at]}, it must be ${must[at]}`);
}

/** Page by page, so that a refusal leaves nothing half done. */
function append(s: WalkState, live: LiveFile, offset: number, bytes: Uint8Array): void {
  const { file, object } = live;
  for (let done = 0; done < bytes.length;) {
    const at = offset + done;
    const part = bytes.subarray(done, done + Math.min(PAGE - (at % PAGE), bytes.length - done));
    s.doing = `write ${part.length} bytes of a file at ${at}`;
    const got = s.outcome(() => file.write(at, part));
    if (!s.agree(got, "")) return sameSize(s, live);
    writeFile(object, at, part);
    done += part.length;
  }
}
