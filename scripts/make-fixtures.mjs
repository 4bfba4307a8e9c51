/**
 * Makes the small fixtures and the bundled snapshot out of the full set of
 * real data (MEMDESC_SHARED, default ../shared): copies the three machines
 * without their BTF, and captures the 24 GiB one with the program's own code.
 *
 *   npm run build && node scripts/make-fixtures.mjs
 */
import {
  copyFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const shared = process.env.MEMDESC_SHARED ?? join(root, "..", "shared");
const dist = process.env.MEMDESC_DIST ?? join(root, "dist");

/** Folder in the full set, folder in the checkout. */
const MACHINES = [
  ["guest-256M-linux-6.1", "guest-6.1"],
  ["guest-256M-linux-6.12", "guest-6.12"],
  ["vm-24G-linux-6.18", "vm-6.18"],
];
/** A larger member is left out (BTF). */
const MOST = 200 * 1024;

if (!existsSync(join(shared, "fixtures"))) {
  console.error(`make-fixtures: no ${join(shared, "fixtures")}: set MEMDESC_SHARED`);
  process.exit(2);
}

let total = 0;
for (const [from, to] of MACHINES) {
  const source = join(shared, "fixtures", from);
  const target = join(root, "test", "fixtures", to);
  mkdirSync(target, { recursive: true });
  for (const name of readdirSync(source).sort()) {
    const { size } = statSync(join(source, name));
    if (name.startsWith("btf") || size > MOST) continue;
    copyFileSync(join(source, name), join(target, name));
    chmodSync(join(target, name), 0o644);
    total += size;
  }
}
console.log(`test/fixtures: ${total} bytes`);

const { readFolder } = await import(join(dist, "observe", "files", "folder.node.js"));
const { encodeCapture } = await import(join(dist, "observe", "capture", "capture.js"));
const { nodeCodec } = await import(join(dist, "observe", "capture", "capture.node.js"));
const snapshot = await readFolder(join(shared, "fixtures", "vm-24G-linux-6.18"));
const capture = await encodeCapture(snapshot, nodeCodec);
mkdirSync(join(root, "data"), { recursive: true });
writeFileSync(join(root, "data", "bundled.memdesc"), capture);
console.log(`data/bundled.memdesc: ${capture.length} bytes`);
