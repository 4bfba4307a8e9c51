/**
 * Every place in the engine's source where a number of a page becomes a page or a page a
 * number, found in the source itself, so that the list in docs/device-names.md can be
 * held against it.
 *
 * Helpers that convert for others (Numbers, MigratePfns, HmmPfns) are not sites; whoever
 * calls one is. A function that calls several is one site with several ways.
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const ENGINE = fileURLToPath(new URL("../../../src/engine/", import.meta.url));

/** What a call converts, and what tells the kind there. */
export interface Way {
  readonly does: "reads" | "makes";
  readonly holder: string;
  /** Where private pages have numbers of their own … */
  readonly own: string;
  /** … and where they have pfns. */
  readonly physical: string;
}

export interface Site {
  /** `process/zap.ts Zap.#absent` */
  readonly name: string;
  readonly ways: readonly Way[];
}

const reads = (holder: string, own: string, physical = own): Way => ({
  does: "reads",
  holder,
  own,
  physical,
});
const makes = (holder: string): Way => ({
  does: "makes",
  holder,
  own: "record",
  physical: "record",
});

/** Functions by name. */
const FREE: Readonly<Record<string, Way>> = {
  ptePfn: reads("page table", "entry type"),
  pteLow: makes("page table"),
};
/** What kind of source a rule is for. */
type Where = "any" | "hmm" | "raw" | "failure";
/** Methods, by what they are called on and their name; the first that fits. */
const METHODS: readonly (readonly [on: RegExp, method: string, where: Where, way: Way])[] = [
  [/#pfns$/, "online", "raw", reads("raw scan", "section")],
  [/#pfns$/, "(page|map)", "failure", reads("raw scan", "struct page")],
  [/#pfns$/, "page", "raw", reads("raw scan", "section")],
  [/folios$/, "ofMigration", "any", reads("page table", "entry type", "struct page")],
  [/numbers$/, "(find|lent)", "any", reads("page table", "entry type")],
  [/numbers$/, "(moving|owns)", "any", reads("page table", "entry type", "struct page")],
  [/numbers$/, "(privateEntry|migrationEntry|exclusiveEntry)", "any", makes("page table")],
  [/this$/, "#leadsTo", "any", reads("page table", "entry type", "struct page")],
  [/this$/, "#setMigration", "any", makes("page table")],
  [/this$/, "#carried", "any", makes("HMM array")],
  [/naming$/, "mapOf", "hmm", reads("page table", "entry type")],
  [/(hmm|hmm\.pfns)$/, "page", "any", reads("HMM array", "array flag", "struct page")],
  [/pfns$/, "page", "hmm", reads("HMM array", "array flag", "struct page")],
  [/pfns$/, "page", "any", reads("migrate array", "array flag", "struct page")],
  [/pfns$/, "set", "any", makes("migrate array")],
  [/ops$/, "dmaAlias", "any", reads("answer", "caller")],
  [/naming$/, "numberLow", "any", makes("snapshot")],
];
/** Where the helpers are that convert for others. */
const SKIPPED = /device\/(numbers|migrate-pfn|provenance)\.ts$|hmm\/hmm-pfn\.ts$|raw-pfns\.ts$/;
const HELPERS = /Folios\.ofMigration$|HmmWalk\.#carried$|Unmap\.#(leadsTo|setMigration)$/;

/** All sites of a room (`process`, `device`, `drivers`), by name. */
export function sitesOf(room: string): Site[] {
  const files = readdirSync(`${ENGINE}${room}`, { recursive: true, encoding: "utf8" })
    .filter((f) => f.endsWith(".ts"))
    .map((f) => `${room}/${f}`)
    .filter((f) => !SKIPPED.test(f));
  const found = new Map<string, Map<string, Way>>();
  for (const file of files.toSorted()) {
    const source = ts.createSourceFile(
      file,
      readFileSync(`${ENGINE}${file}`, "utf8"),
      ts.ScriptTarget.ES2022,
      true,
    );
    const visit = (node: ts.Node): void => {
      const way = ts.isCallExpression(node) ? wayOf(node, file) : undefined;
      if (way !== undefined) {
        const name = `${file} ${enclosing(node)}`;
        if (HELPERS.test(name)) return;
        const ways = found.get(name) ?? new Map<string, Way>();
        ways.set(JSON.stringify(way), way);
        found.set(name, ways);
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return [...found]
    .map(([name, ways]) => ({ name, ways: [...ways.values()] }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function wayOf(call: ts.CallExpression, file: string): Way | undefined {
  const { expression } = call;
  if (ts.isIdentifier(expression)) return FREE[expression.text];
  if (!ts.isPropertyAccessExpression(expression)) return undefined;
  const on = expression.expression.getText();
  const name = expression.name.getText();
  const where = whereOf(file);
  return METHODS.find(
    ([of, method, only]) =>
      of.test(on) && new RegExp(`^${method}$`).test(name) && where.includes(only),
  )?.[3];
}

function whereOf(file: string): readonly Where[] {
  if (file.endsWith("raw-walkers/memory-failure.ts")) return ["any", "raw", "failure"];
  if (file.includes("raw-walkers/")) return ["any", "raw"];
  return file.includes("/hmm/") ? ["any", "hmm"] : ["any"];
}

/** `Zap.#absent`, or a function's name. */
function enclosing(node: ts.Node): string {
  for (let at = node.parent; at !== undefined; at = at.parent) {
    if (ts.isMethodDeclaration(at) || ts.isGetAccessor(at) || ts.isPropertyDeclaration(at)) {
      const owner = at.parent;
      const of = ts.isClassDeclaration(owner) ? `${owner.name?.text ?? ""}.` : "";
      return `${of}${at.name.getText()}`;
    }
    if (ts.isFunctionDeclaration(at)) return at.name?.text ?? "";
    if (ts.isVariableDeclaration(at) && ts.isSourceFile(at.parent.parent.parent))
      return at.name.getText();
  }
  return "";
}
