/**
 * Reads the live machine's page files as `inspect` does and prints the seconds:
 * in a process of its own, so that it can be kept on one CPU.
 * Arguments: `flags-only` or `all`, and how many threads.
 */
import { readLive } from "../src/observe/procfs/live.node.js";

const [pages, threads] = process.argv.slice(2);
const began = performance.now();
await readLive({ pages: pages === "all" ? "all" : "flags-only", threads: Number(threads) });
console.log((performance.now() - began) / 1000);
