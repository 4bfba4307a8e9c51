/**
 * What describing the pages costs, for the terminal: one line per design (and a
 * second one with the fill that slabs really have on this machine), descriptors
 * by type, the order from which a folio is cheaper, and what each design loses.
 */
import { formatBytes, formatCount } from "../units.js";
import { formatChange, formatShare, NONE, plural } from "./format.js";
import type { DesignRow, InspectReport } from "./model.js";
import type { Paint } from "./paint.js";
import { tableLines, wrap, type Align, type Cell, type Row } from "./table.js";

/** Designs with a longer name get a line of their own for it. */
const NAME_CELLS = 9;

/** Cost per design, today first as the report gives them. */
export function designLines(designs: readonly DesignRow[], p: Paint): string[] {
  if (designs.length === 0) return [];
  const head: Cell[] = [
    p.heading("WHAT DESCRIBING THEM COSTS"),
    "page array",
    "descriptors",
    "total",
    "of RAM",
    "vs today",
  ];
  const lines = tableLines({
    align: ["left", "right", "right", "right", "right", "right"],
    rows: [head, ...designs.flatMap((design) => designRows(design, p))],
  });
  const basis = designs.find((design) => design.estimated !== null)?.estimated?.basis;
  const legend = basis === undefined ? [] : wrap(`as filled: ${basis}`);
  return [...lines, ...legend.map((line) => p.dim(line))];
}

function designRows(design: DesignRow, p: Paint): Row[] {
  const inside = design.total - design.pageArray;
  const today = design.total - design.change;
  const named = design.design.length <= NAME_CELLS;
  const rows: Row[] = named ? [] : [design.design];
  // The column beside it says "descriptors" in full; 80 columns do not hold both.
  const summary = design.summary.replace("descriptors", "descr.");
  rows.push([
    `${(named ? design.design : "").padEnd(NAME_CELLS)} ${summary}`,
    formatBytes(design.pageArray),
    inside === 0 ? NONE : formatBytes(inside),
    formatBytes(design.total),
    formatShare(design.shareOfRam),
    change(design.change, p),
  ]);
  const estimated = design.estimated;
  if (estimated !== null && estimated.total !== design.total) {
    rows.push([
      `${" ".repeat(NAME_CELLS)} ${p.dim("as filled")}`,
      "",
      formatBytes(estimated.total - design.pageArray),
      formatBytes(estimated.total),
      formatShare(estimated.shareOfRam),
      change(estimated.total - today, p),
    ]);
  }
  return rows;
}

function change(bytes: number, p: Paint): string {
  if (bytes === 0) return NONE;
  return bytes < 0 ? p.good(formatChange(bytes)) : p.bad(formatChange(bytes));
}

/** Descriptors by design and type, with the band of assumed sizes. */
export function descriptorLines(designs: readonly DesignRow[], p: Paint): string[] {
  const described = designs.filter((design) => design.descriptors.length > 0);
  if (described.length === 0) return [];
  const head: Cell[] = [
    p.heading("DESCRIPTORS"),
    "objects",
    "size",
    "bytes",
    "slab waste",
    "of RAM",
  ];
  const align: Align[] = ["left", "right", "right", "right", "right", "right"];
  const rows = described.flatMap((design): Row[] => [
    design.design,
    ...design.descriptors.map((row) => [
      `  ${row.type}${row.assumed ? " *" : ""}`,
      formatCount(row.objects),
      `${formatCount(row.size)} B`,
      formatBytes(row.bytes),
      formatBytes(row.waste),
      formatShare(((row.bytes + row.waste) * design.shareOfRam) / design.total),
    ]),
  ]);
  return [...tableLines({ align, rows: [head, ...rows] }), ...bandLines(described, p)];
}

function bandLines(designs: readonly DesignRow[], p: Paint): string[] {
  const lines = designs.flatMap((design) => {
    if (design.band === null) return [];
    const totals = design.band.map((b) => formatBytes(b.total)).join(" / ");
    const sizes = design.band.map((b) => b.size).join("/");
    return wrap(
      `  ${design.design} in all with ${sizes} B for each of them: ${totals}`,
      "",
      "    ",
    );
  });
  if (lines.length === 0) return [];
  return ["* size assumed: no proposal gives one", ...lines].map((line) => p.dim(line));
}

/** Orders worth a column: the small ones, where designs differ, and a huge page. */
const SHOWN_ORDERS = [0, 1, 2, 3, 4, 9];

/** Bytes that describe one folio, by order, and from where it gets cheaper. */
export function breakEvenLines(curves: InspectReport["breakEven"], p: Paint): string[] {
  if (curves.length === 0) return [];
  const orders = SHOWN_ORDERS.filter((order) =>
    curves[0].perOrder.some((point) => point.order === order),
  );
  const bytesAt = (curve: (typeof curves)[number], order: number): string => {
    const point = curve.perOrder.find((one) => one.order === order);
    return point === undefined ? NONE : formatCount(point.design);
  };
  const todayAt = (order: number): string => {
    const point = curves[0].perOrder.find((one) => one.order === order);
    return point === undefined ? NONE : formatCount(point.today);
  };
  const table = tableLines({
    align: ["left", ...orders.map((): Align => "right"), "right"],
    rows: [
      [p.heading("BYTES PER FOLIO, BY ORDER"), ...orders.map((order) => `${order}`), "cheaper"],
      ["today", ...orders.map(todayAt), NONE],
      ...curves.map((curve) => [
        curve.design,
        ...orders.map((order) => bytesAt(curve, order)),
        curve.order === null ? "never" : `from ${curve.order}`,
      ]),
    ],
  });
  return [...table, ...atBase(curves).map((line) => p.dim(line))];
}

/** How far the answer hangs on what large folios append, which is derived. */
function atBase(curves: InspectReport["breakEven"]): string[] {
  const other = curves.filter((curve) => curve.orderAtBase !== curve.order);
  if (other.length === 0) return [];
  const froms = other.map((curve) => `${curve.design} from ${curve.orderAtBase ?? NONE}`);
  return wrap(
    `with struct folio as published and nothing appended for large ones: ${froms.join(", ")}`,
  );
}

/** What each design has no place for, the round trip, and (if asked) where metadata lies. */
export function holdsLines(designs: readonly DesignRow[], p: Paint, explain: boolean): string[] {
  const lines = [
    ...verifyLines(designs, p),
    ...lostLines(designs),
    ...(explain ? placeLines(designs, p) : []),
  ];
  return lines.length === 0 ? [] : [p.heading("WHAT EACH DESIGN HOLDS"), ...lines];
}

function lostLines(designs: readonly DesignRow[]): string[] {
  return designs.flatMap((design) =>
    design.lost.flatMap((bit) =>
      wrap(
        `${design.design}: no place for ${bit.bit} (${plural(bit.frames, "frame")}): ${bit.why}`,
      ),
    ),
  );
}

function verifyLines(designs: readonly DesignRow[], p: Paint): string[] {
  return designs.flatMap((design) => {
    const verify = design.verify;
    if (verify === null) return [];
    const out = verify.leftOut.map((l) => `${formatCount(l.frames)} ${l.why}`).join(", ");
    const head = `${design.design}: round trip of ${plural(verify.compared, "frame")}`;
    const rest = out === "" ? "" : `; left out: ${out}`;
    if (verify.differences === 0) return wrap(`${head}, no difference${rest}`);
    return [
      ...wrap(`${head}, ${plural(verify.differences, "DIFFERENCE")}${rest}`).map(p.bad),
      ...verify.first.flatMap((d) =>
        wrap(`pfn ${d.pfn} ${d.file}: expected ${d.expected}, got ${d.got}`, "  "),
      ),
    ];
  });
}

function placeLines(designs: readonly DesignRow[], p: Paint): string[] {
  return designs.flatMap((design) => {
    const { total, from } = design.metadataFrames;
    if (total === 0) return [];
    const parts = from.map((f) => `${formatCount(f.frames)} ${f.kind}`).join(", ");
    const text = `${design.design}: metadata lies in ${plural(total, "frame")}, taken from ${parts}`;
    return wrap(text).map((line) => p.dim(line));
  });
}
