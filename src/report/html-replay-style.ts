/**
 * What the page of a replay adds to the style of the report: strokes of the lines
 * over time. Each stands out from its background by 3 : 1 at least, light and dark,
 * and every line is also named where it ends, so that no colour has to be told from
 * another. A phone shows a chart in larger letters, and the names below it, too.
 */
export const REPLAY_STYLE = `
:root{--c1:#1f6fc4;--c2:#c2570c;--c3:#2e8540;--c4:#b0387f;--c5:#7a4fc0;--c6:#8a6a00}
@media (prefers-color-scheme:dark){:root{--c1:#6cabf0;--c2:#f0985a;--c3:#6cc070;--c4:#e583bb;
--c5:#b494ec;--c6:#dcb93f}}
.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}.s4{stroke:var(--c4)}
.s5{stroke:var(--c5)}.s6{stroke:var(--c6)}
.over{stroke-dasharray:6 6}
.tie{stroke:var(--line)}.zero{stroke:var(--dim)}
.f-alloc{fill:var(--array);background:var(--array)}.f-free{fill:var(--desc);background:var(--desc)}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
.lead{font-size:1.05rem}
.keys span{white-space:nowrap;margin-right:1em}
.keys.small{display:none}.chart{margin-bottom:.6rem}
@media (max-width:40rem){.keys.small{display:block}.chart{min-width:38rem;font-size:14px}
svg.chart .dim{font-size:13px}}
dl.verdicts{font-size:1rem}dl.verdicts dd{margin-left:0}
`;
