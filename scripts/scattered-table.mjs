/**
 * Prints the tables of docs/scattered-memory.md and docs/driver-memory.md, measured on
 * booted machines, and puts them between the markers there. With --check it changes
 * nothing and exits 1 where a page is old. Needs a build (npm run build).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  DriverMemory,
  FOLL_PIN,
  Kernel,
  MEMORY_KINDS,
  parseDesign,
  PrivateWriter,
  RECOGNITIONS,
  ref,
  scatteredMatrix,
  TtmDevice,
} from "../dist/index.js";

const PAGE = 4096;
/** Page type of a bare page (axis-types.ts). */
const T_MISC = 0;
const PAGES = 256;
const PRESETS = ["today", "page32", "memdesc16", "memdesc8"];

const table = (head, rows) =>
  [head, head.map(() => "---"), ...rows].map((r) => `| ${r.join(" | ")} |`).join("\n");
const number = (n) => (Number.isInteger(n) ? String(n) : n.toFixed(2));
const errno = (does) => {
  try {
    does();
    return "yes";
  } catch (error) {
    return `no (${error.code})`;
  }
};

/** Bytes handed out to describe areas: kernel objects in use, and pages of arrays. */
function bytesInUse({ machine }) {
  const kernels = machine.caches.usage().slice(machine.design.caches.length);
  let bytes = kernels.reduce((sum, c) => sum + c.objects * c.objectSize, 0);
  machine.heap.forEachFrame((pfn) => {
    if (machine.design.typeOf(pfn) === T_MISC) bytes += PAGE;
  });
  return bytes;
}

/** One area: what it costs for each page, how it is got and released, what an early free does. */
function measure(design, pages) {
  const kernel = Kernel.boot({ memory: "64MiB" }, design);
  const empty = bytesInUse(kernel);
  const area = kernel.scattered.alloc(pages * PAGE);
  const own = (bytesInUse(kernel) - empty) / pages;
  const p = kernel.createProcess();
  const at = area.mmap(p);
  const before = kernel.gup.fast;
  const gup = errno(() => p.gup(at, PAGE, FOLL_PIN).release());
  const fast = kernel.gup.fast > before;
  const early = kernel.scattered.alloc(4 * PAGE);
  early.mmap(kernel.createProcess());
  const { kept, stale } = early.free();
  return {
    word: kernel.machine.design.pageBytes,
    own,
    gup,
    fast,
    early:
      stale.length > 0
        ? `${stale.length} of 4 pages reachable after free`
        : `nothing lost (${kept} of 4 kept)`,
  };
}

/** A reason without the choices that it names. */
const generally = (reason) =>
  reason
    .replace(/^scattered=\S+ with scattered-lookup=\S+ leaves/, "an object or lookup that leaves")
    .replace(/^(scattered\S+( with scattered\S+)?): /, "")
    .replace(/ with scattered-lookup=[\w-]+:/, ":")
    .replace(/^page(64|32) keeps/, "a word of 32 or 64 bytes keeps");

function scatteredTables() {
  const parts = [];
  const reasons = new Map();
  for (const preset of PRESETS) {
    const { legal, refused } = scatteredMatrix(preset);
    const rows = legal.map((design) => {
      const m = measure(design, PAGES);
      const one = measure(design, 1);
      const release =
        design.scattered === "none"
          ? "–"
          : ["vma-private", "file-private"].includes(design.scatteredLookup)
            ? "what the pin carried"
            : "the page";
      return [
        design.scattered,
        design.scatteredLookup === "none" ? "–" : design.scatteredLookup,
        design.scatteredNid,
        number(m.word),
        number(m.own),
        number(one.own),
        m.gup === "yes" ? (m.fast ? "fast, slow" : "slow") : m.gup,
        release,
        m.early,
      ];
    });
    const head = [
      "object",
      "lookup",
      "node, zone",
      "page word, B",
      `beside it, B a page (${PAGES} pages)`,
      "(1 page)",
      "GUP",
      "a release needs",
      "early free, 4 pages mapped",
    ];
    parts.push(`### \`${preset}\`\n\n${table(head, rows)}`);
    for (const { reason } of refused) {
      const said = generally(reason);
      const counts = reasons.get(said) ?? Object.fromEntries(PRESETS.map((p) => [p, 0]));
      counts[preset]++;
      reasons.set(said, counts);
    }
  }
  const no = [...reasons].map(([reason, counts]) => [
    reason,
    ...PRESETS.map((preset) => String(counts[preset] || "–")),
  ]);
  parts.push(
    `### What is refused, and why\n\n${table(["reason", ...PRESETS.map((p) => `\`${p}\``)], no)}`,
  );
  return parts.join("\n\n");
}

/** Misc, managed, folio: bytes for each page of blocks really allocated. */
function driverTables() {
  const orders = [0, 2, 9];
  const kinds = [];
  for (const preset of PRESETS) {
    const memory = new DriverMemory(Kernel.boot({ memory: "64MiB" }, parseDesign(preset)));
    for (const kind of MEMORY_KINDS) {
      const can = (needs) => {
        const offer = memory.offers(needs).find((o) => o.kind === kind);
        return offer.refused === null ? "yes" : "no";
      };
      const refused = memory.offers({}).find((o) => o.kind === kind).refused;
      const bytes = orders.map((order) => {
        if (refused !== null) return "–";
        const block = memory.make(kind, { order });
        const each = number(block.bytesPerPage);
        block.free();
        return each;
      });
      kinds.push([
        `\`${preset}\``,
        kind,
        ...bytes,
        ...(refused === null
          ? [can({ refcount: true }), can({ list: true }), can({ gup: true })]
          : ["–", "–", refused]),
      ]);
    }
  }
  const needs = [
    ["nothing but memory", {}],
    ["user mapping", { userMap: true }],
    ["list head", { list: true }],
    ["reference count", { refcount: true }],
    ["reference count, list head, user mapping", { refcount: true, list: true, userMap: true }],
    ["GUP or pins", { gup: true, pin: true, userMap: true }],
  ];
  const choice = needs.map(([name, need]) => [
    name,
    ...PRESETS.map((preset) => {
      const memory = new DriverMemory(Kernel.boot({ memory: "64MiB" }, parseDesign(preset)));
      const block = memory.allocate(need);
      return `${block.kind}, ${number(block.bytesPerPage)} B`;
    }),
  ]);
  return [
    `### What each kind has and costs, bytes a page\n\n${table(["design", "kind", ...orders.map((o) => `order ${o}`), "refcount", "list", "GUP"], kinds)}`,
    `### What a driver gets that needs …\n\n${table(["needs", ...PRESETS.map((p) => `\`${p}\``)], choice)}`,
    `### TTM: telling own pages from others\n\n${ttmTable()}`,
  ].join("\n\n");
}

function ttmTable() {
  const rows = [];
  for (const preset of PRESETS) {
    for (const recognise of RECOGNITIONS) {
      const kernel = Kernel.boot({ memory: "64MiB" }, parseDesign(preset));
      const taken = errno(() => new TtmDevice(kernel, { recognise }).close());
      let gpu;
      try {
        gpu = new TtmDevice(kernel, { recognise, poolOrder: "table" });
      } catch (error) {
        rows.push([
          `\`${preset}\``,
          recognise,
          `no: ${error.message.split(": ").slice(2).join(": ")}`,
          "–",
          "–",
        ]);
        continue;
      }
      const other = new PrivateWriter(kernel);
      const own = gpu.table();
      own.populate(1);
      const write = (pfn, value) => {
        try {
          other.writePrivate(pfn, value);
          return "";
        } catch (error) {
          return error.code === undefined
            ? ` (the write is caught: ${error.rule})`
            : ` (there is no private to write)`;
        }
      };
      const note = write(own.frames[0], ref(0x1230));
      const lost = own.unpopulate().wrong.length;
      const [page] = other.allocate(1);
      write(page, gpu.devMapping);
      const table = gpu.table();
      table.importPages([page]);
      const stolen = table.unpopulate().wrong.length;
      rows.push([
        `\`${preset}\``,
        recognise,
        taken === "yes" ? "yes" : `only with the pool's order elsewhere: ${taken}`,
        lost > 0 ? "own page lost, reported" : `recognised${note}`,
        stolen > 0 ? "taken for its own, reported" : "left alone",
      ]);
    }
  }
  return table(
    [
      "design",
      "recognised by",
      "possible",
      "another driver wrote `private` of an own page",
      "an imported page's `private` is the driver's value",
    ],
    rows,
  );
}

const PAGES_OF_DOCS = [
  ["docs/scattered-memory.md", scatteredTables],
  ["docs/driver-memory.md", driverTables],
];
const BEGIN = "<!-- by scripts/scattered-table.mjs -->";
const END = "<!-- end -->";
let old = false;
for (const [path, make] of PAGES_OF_DOCS) {
  const file = fileURLToPath(new URL(`../${path}`, import.meta.url));
  const made = make();
  if (process.argv.includes("--print")) {
    console.log(made);
    continue;
  }
  const is = readFileSync(file, "utf8");
  const [from, to] = [is.indexOf(BEGIN), is.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${path} has lost its markers`);
  const must = `${is.slice(0, from)}${BEGIN}\n\n${made}\n\n${is.slice(to)}`;
  if (must === is) continue;
  old = true;
  if (process.argv.includes("--check"))
    console.error(
      `${path} shows old figures: run npm run build && node scripts/scattered-table.mjs`,
    );
  else writeFileSync(file, must);
}
if (old && process.argv.includes("--check")) process.exit(1);
