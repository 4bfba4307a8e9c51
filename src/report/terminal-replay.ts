/**
 * A replay for the terminal: what the trace is, where its events went, what every
 * design cost while it ran, in 80 columns.
 */
import { formatBytes, formatCount } from "../units.js";
import { formatChange, NONE, plural } from "./format.js";
import { paint, type Paint } from "./paint.js";
import { meanLines, type DesignCost, type ReplayReport } from "./replay-model.js";
import { tableLines, wrap, type Row } from "./table.js";

/** Designs with a longer name are called by letters, and named above. */
const NAME_CELLS = 9;
const ORDERS = 11;

export interface ReplayOptions {
  readonly color: boolean;
  /** Also what each allocation was taken for against what it was. */
  readonly accuracy: boolean;
}

/** The report as text; ends with a newline. */
export function renderReplay(report: ReplayReport, options: ReplayOptions): string {
  const p = paint(options.color);
  const names = shortNames(report.designs);
  const sections = [
    headLines(report, p),
    eventLines(report, p),
    kindLines(report, p),
    costLines(report.designs, names, p),
    trafficLines(report.designs, names, p),
    descriptorLines(report.designs, names, p),
    freeLines(report.designs, names, p),
    refusedLines(report.designs, names, p),
    verdictLines(report, names, p),
    options.accuracy ? accuracyLines(report, p) : [],
  ];
  const lines = sections
    .filter((section) => section.length > 0)
    .flatMap((section, i) => (i === 0 ? section : ["", ...section]));
  return lines.map((line) => `${line}\n`).join("");
}

type Names = ReadonlyMap<DesignCost, string>;

function shortNames(designs: readonly DesignCost[]): Names {
  const fit = designs.every(({ design }) => design.length <= NAME_CELLS);
  return new Map(designs.map((d, i) => [d, fit ? d.design : String.fromCodePoint(65 + (i % 26))]));
}

const seconds = (s: number): string => `${s.toFixed(s < 10 ? 2 : 1)} s`;
const percent = (part: number, whole: number): string =>
  whole === 0 ? NONE : `${((part / whole) * 100).toFixed(2)} %`;
const tenth = (n: number | null): string => (n === null ? NONE : n.toFixed(1));

function headLines({ trace, events, whatIf }: ReplayReport, p: Paint): string[] {
  const rate =
    trace.seconds > 0 ? `, ${formatCount(Math.round(events / trace.seconds))} a second` : "";
  const facts = [
    trace.kernel === null ? "kernel unknown" : `Linux ${trace.kernel}`,
    plural(trace.cpus, "CPU"),
    seconds(trace.seconds),
    `${formatCount(events)} events${rate}`,
    trace.lost === 0
      ? "none lost"
      : trace.lost < 0
        ? "some lost"
        : `${formatCount(trace.lost)} lost`,
  ];
  const begins =
    trace.begins === "snapshot"
      ? "the machine begins as the snapshot before the trace"
      : "no snapshot before the trace: the machine begins empty, so figures are of this trace's pages alone";
  return [
    ...wrap(`${trace.source}: ${facts.join(", ")}`, "", "").map(p.heading),
    ...wrap(begins, "", ""),
    ...changeLines(whatIf).map(p.bad),
    ...trace.notes.flatMap(({ subject, text }) => wrap(`${subject}: ${text}`, "note: ", "      ")),
    ...(trace.damage === null
      ? []
      : wrap(
          `${trace.damage.where}: ${trace.damage.why}; what comes before is used`,
          "damaged: ",
          "  ",
        ).map(p.bad)),
  ];
}

/** What this replay is not: the workload as it was. */
function changeLines({
  fileOrder,
  anonOrder,
  pcpHigh,
  pcpBatch,
  freeMib,
}: ReplayReport["whatIf"]): string[] {
  const changes = [
    ...(fileOrder > 0 ? [`file folios of order ${fileOrder} at least`] : []),
    ...(anonOrder > 0 ? [`anonymous folios of order ${anonOrder} at least`] : []),
    ...(pcpHigh === null ? [] : [`per-CPU lists of ${formatCount(pcpHigh)} pages`]),
    ...(freeMib === null
      ? []
      : [`${formatCount(freeMib)} MiB free at the beginning, nothing is reclaimed`]),
    ...(pcpBatch === null ? [] : [`batches of ${formatCount(pcpBatch)} pages`]),
  ];
  return changes.length === 0 ? [] : wrap(changes.join(", "), "changed: ", "  ");
}

function eventLines(report: ReplayReport, p: Paint): string[] {
  const rows: Row[] = [
    [p.heading("ALLOCATIONS AND FREES"), "events", "of them"],
    ["recorded (batched frees repeat others: not counted)", formatCount(report.recorded), ""],
    ["replayed", formatCount(report.replayed), percent(report.replayed, report.recorded)],
    ...report.refusals
      .filter(({ events }) => events > 0)
      .map(({ why, events }): Row => [
        `refused: ${why}`,
        formatCount(events),
        percent(events, report.recorded),
      ]),
  ];
  const unseen = report.unseen.filter(({ pages }) => pages > 0);
  if (unseen.length > 0)
    rows.push(
      [p.heading("WHAT THE TRACE DID NOT SHOW"), "pages", ""],
      ...unseen.map(({ what, pages }): Row => [what, formatCount(pages), ""]),
    );
  return tableLines({ align: ["left", "right", "right"], rows });
}

/** Allocations by kind, and the orders they were of. */
function kindLines(report: ReplayReport, p: Paint): string[] {
  if (report.kinds.length === 0) return [];
  const shown = Array.from({ length: ORDERS }, (_, order) => order).filter((order) =>
    report.kinds.some(({ orders }) => orders[order] > 0),
  );
  const rows: Row[] = [
    [p.heading("ALLOCATED, BY ORDER"), ...shown.map(String)],
    ...report.kinds.map(({ kind, orders }): Row => [
      kind,
      ...shown.map((order) => (orders[order] === 0 ? NONE : formatCount(orders[order]))),
    ]),
  ];
  const by = report.rules.map(({ rule, allocations }) => `${rule} ${formatCount(allocations)}`);
  return [
    ...tableLines({ align: ["left", ...shown.map(() => "right" as const)], rows }),
    ...wrap(`told by ${by.join(", ")}`, "", "  ").map(p.dim),
  ];
}

function costLines(designs: readonly DesignCost[], names: Names, p: Paint): string[] {
  const legend = designs
    .filter((d) => names.get(d) !== d.design)
    .flatMap((d) => wrap(d.design, `${names.get(d)}  `, "   "));
  const rows: Row[] = [
    [p.heading("METADATA"), "fixed", "start", "mean", "peak", "end", "mean vs today"],
    ...designs.map((d): Row => [
      names.get(d) ?? d.design,
      formatBytes(d.pageArray + d.zoneTable),
      formatBytes(d.start),
      formatBytes(Math.round(d.mean)),
      formatBytes(d.peak),
      formatBytes(d.end),
      d.change === null || d.change === 0
        ? NONE
        : (d.change < 0 ? p.good : p.bad)(formatChange(Math.round(d.change))),
    ]),
  ];
  return [...legend, ...tableLines({ align: right(7), rows })];
}

const right = (columns: number): ("left" | "right")[] => [
  "left",
  ...Array.from({ length: columns - 1 }, () => "right" as const),
];

function trafficLines(designs: readonly DesignCost[], names: Names, p: Paint): string[] {
  const rows: Row[] = [
    [
      p.heading("TRAFFIC"),
      "descr./s",
      "freed/s",
      "per alloc",
      "slab pages",
      "lines/alloc",
      "/free",
    ],
    ...designs.map((d): Row => {
      const s = d.duration / 1e9;
      const rate = (n: number): string => (s === 0 ? NONE : formatCount(Math.round(n / s)));
      return [
        names.get(d) ?? d.design,
        rate(d.descriptorsTaken),
        rate(d.descriptorsGiven),
        d.descriptorsPerAllocation.toFixed(2),
        `+${formatCount(d.slabPagesGained)} −${formatCount(d.slabPagesLost)}`,
        tenth(meanLines(d, "alloc")),
        tenth(meanLines(d, "free")),
        String(d.faultLines.anon),
      ];
    }),
  ];
  return [
    ...tableLines({ align: right(8), rows }),
    ...wrap(
      "cache lines of metadata touched: of one allocation or free in 64; of an anonymous fault on a small process of the engine",
    ).map(p.dim),
  ];
}

/** Objects by cache at the peak of the samples, for designs that have any. */
function descriptorLines(designs: readonly DesignCost[], names: Names, p: Paint): string[] {
  const rows = designs.flatMap((d): Row[] => {
    const [first, last] = [d.samples[0], d.samples.at(-1)];
    if (first === undefined || last === undefined) return [];
    return d.caches.flatMap((cache, i): Row[] => {
      const most = Math.max(...d.samples.map(({ objects }) => objects[i] ?? 0));
      if (most === 0) return [];
      return [
        [
          `${names.get(d)} ${cache.name}${cache.assumed ? " *" : ""}`,
          `${cache.size} B`,
          formatCount(first.objects[i]),
          formatCount(most),
          formatCount(last.objects[i]),
          formatBytes(last.slabs[i] * 4096),
        ],
      ];
    });
  });
  if (rows.length === 0) return [];
  const assumed = designs.some((d) => d.caches.some((cache) => cache.assumed));
  return [
    ...tableLines({
      align: right(6),
      rows: [[p.heading("DESCRIPTORS"), "size", "start", "most", "end", "slabs at end"], ...rows],
    }),
    ...(assumed ? [p.dim("* size assumed: no proposal gives one")] : []),
  ];
}

/** Free blocks at the end, by order: how far each design's own pages have cut memory up. */
function freeLines(designs: readonly DesignCost[], names: Names, p: Paint): string[] {
  const ends = designs.filter((d) => d.samples.length > 0);
  if (ends.length === 0) return [];
  const orders = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
  return tableLines({
    align: right(orders.length + 1),
    rows: [
      [p.heading("FREE BLOCKS"), ...orders.map(String)],
      ...ends.map((d): Row => [
        names.get(d) ?? d.design,
        ...orders.map((order) => String(d.samples.at(-1)?.free[order] ?? 0)),
      ]),
    ],
  });
}

/** What each machine could not do; nothing where all could do all. */
function refusedLines(designs: readonly DesignCost[], names: Names, p: Paint): string[] {
  if (designs.every((d) => d.firstRefused === null)) return [];
  const whys = designs[0].refused.map(({ why }) => why);
  return tableLines({
    align: right(whys.length + 2),
    rows: [
      [p.heading("REFUSED"), "first after", ...whys],
      ...designs.map((d): Row => [
        names.get(d) ?? d.design,
        d.firstRefused === null ? NONE : seconds(d.firstRefused / 1e9),
        ...d.refused.map(({ operations }) => formatCount(operations)),
      ]),
    ],
  });
}

function verdictLines(report: ReplayReport, names: Names, p: Paint): string[] {
  const lines = report.designs.flatMap((d) => {
    const even =
      d.breakEven === null
        ? ""
        : `; folios from order ${d.breakEven} on take no more, this trace's ${d.folioBytesPerPage.toFixed(1)} B a page`;
    return wrap(
      `${d.verdict}${even}`,
      `${(names.get(d) ?? "").padEnd(NAME_CELLS)} `,
      " ".repeat(10),
    );
  });
  return [
    p.heading("VERDICT, AGAINST TODAY"),
    ...lines,
    ...wrap(report.notShown, "", "").map(p.dim),
  ];
}

function accuracyLines({ against }: ReplayReport, p: Paint): string[] {
  if (against === null)
    return wrap("accuracy: there is no snapshot after this trace to put it against", "", "  ");
  const { accuracy } = against;
  const from = against.readFrom ?? against.secondsIn;
  const rows: Row[] = [
    [p.heading("ACCURACY"), "pages", "right", "", "the others are"],
    ...accuracy.rows.map((row): Row => [
      row.derived,
      formatCount(row.pages),
      formatCount(row.right),
      percent(row.right, row.pages),
      [
        ...row.wrong.map(({ kind, pages }) => `${kind} ${formatCount(pages)}`),
        ...(row.free > 0 ? [`(free ${formatCount(row.free)})`] : []),
      ].join(", "),
    ]),
    [
      "in all",
      formatCount(accuracy.pages),
      formatCount(accuracy.right),
      percent(accuracy.right, accuracy.pages),
      "",
    ],
  ];
  const listed = against.free.listed + against.free.perCpu;
  const totals: Row[] = [
    [
      p.heading(`PAGES AT ABOUT ${seconds(against.secondsIn)}`),
      "trace",
      "snapshot",
      "difference",
      "unseen",
    ],
    ...against.totals.map(({ kind, derived, real, silent }): Row => [
      kind,
      formatCount(derived),
      formatCount(real),
      formatCount(derived - real),
      formatCount(silent),
    ]),
    [
      "free",
      formatCount(against.free.derived),
      formatCount(listed),
      formatCount(against.free.derived - listed),
      "",
    ],
  ];
  return [
    ...tableLines({ align: ["left", "right", "right", "right", "left"], rows }),
    ...wrap(
      `pages that the trace allocated, and that were there from ${seconds(from)} into it to its end, while the snapshot was read`,
    ).map(p.dim),
    "",
    ...tableLines({ align: right(5), rows: totals }),
    ...wrap(
      `unseen: there in the snapshot, and the trace has no holder of them. free: on free lists, and ${formatCount(against.free.perCpu)} on per-CPU lists, which look like kernel pages in the snapshot`,
    ).map(p.dim),
  ];
}
