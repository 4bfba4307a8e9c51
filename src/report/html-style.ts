/**
 * The style of the HTML report. Colours are given once for light and once for
 * dark; kinds that belong together have neighbouring hues, free and unused
 * frames are grey. The page needs no script and loads nothing.
 */
import { KINDS, type Kind } from "../observe/kinds.js";

/** Fill of each kind, readable on both backgrounds. */
const KIND_COLORS: Readonly<Record<Kind, string>> = {
  free: "#a9d3c6",
  file: "#2f7fd1",
  shmem: "#17a2b8",
  anon: "#e07b39",
  ksm: "#f2b134",
  hugetlb: "#c0508f",
  slab: "#4f9d4f",
  "page-table": "#8a63c9",
  reserved: "#6b7785",
  zero: "#c9a227",
  offline: "#7d5a50",
  hwpoison: "#c62828",
  kernel: "#3c9a8f",
  uninitialised: "#8d919c",
  metadata: "#a23b72",
  absent: "#d8d8d8",
};

const rules = KINDS.map(
  (kind) => `.k-${kind}{fill:${KIND_COLORS[kind]};background:${KIND_COLORS[kind]}}`,
);

export const STYLE = `
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--dim:#59636e;--line:#d5dae0;--soft:#f4f6f8;
--array:#2f6fb0;--desc:#e07b39;--waste:#b8b8c4;--good:#1a7f37;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e4e8ec;--dim:#9aa5b1;--line:#343b44;
--soft:#1d2228;--array:#5b9bdc;--desc:#f0985a;--waste:#6d7480;--good:#4cc26d;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:1rem;background:var(--bg);color:var(--fg);
font:16px/1.45 system-ui,sans-serif}
h1{font-size:1.35rem;margin:.2rem 0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
p{margin:.4rem 0}.dim{color:var(--dim);font-size:.9rem}
.note{border-left:4px solid var(--desc);padding:.3rem .7rem;background:var(--soft)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .5rem;text-align:right;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600}th:first-child,td:first-child,.text{text-align:left}
td,th{white-space:nowrap}td.text{white-space:normal;min-width:16rem}
.good{color:var(--good)}.bad{color:var(--bad)}
.swatch{display:inline-block;width:.8em;height:.8em;margin-right:.45em;border-radius:2px}
.chart{display:block;width:100%;min-width:32rem;height:auto;font:12px system-ui,sans-serif}
.key{display:inline-block;width:24px;height:10px}
svg text{fill:var(--fg)}svg .dim{fill:var(--dim);font-size:11px}
.axis{stroke:var(--line)}.filled{stroke:var(--desc);stroke-width:2}.ref{stroke:var(--fg);stroke-dasharray:4 3}
.array{fill:var(--array);background:var(--array)}.desc{fill:var(--desc);background:var(--desc)}
.waste{fill:var(--waste);background:var(--waste)}
.line{fill:none;stroke-width:2}
.s0{stroke:var(--fg);stroke-dasharray:5 3}.s1{stroke:#2f7fd1}.s2{stroke:#e07b39}.s3{stroke:#4f9d4f}
.s4{stroke:#c0508f}.s5{stroke:#8a63c9}.s6{stroke:#c9a227}.again{stroke-dasharray:2 3}
details{margin:.6rem 0}summary{cursor:pointer}
dl{font-size:.9rem}dt{font-weight:600;margin-top:.5rem}dd{margin:0 0 0 1rem}
${rules.join("\n")}
`;
