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
  /** Whose numbers: frames', device-private pages', or either's. */
  readonly of: "frame" | "device" | "either";
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

const reads = (of: Way["of"], holder: string, own: string, physical = own): Way => ({
  does: "reads",
  holder,
  of,
  own,
  physical,
});
const makes = (of: Way["of"], holder: string): Way => ({
  does: "makes",
  holder,
  of,
  own: "record",
  physical: "record",
});
const STRUCT = "struct page";

/** Functions by name. */
const FREE: Readonly<Record<string, Way>> = {
  ptePfn: reads("frame", "page table", "entry type"),
  pteLow: makes("frame", "page table"),
  swapOffset: reads("either", "page table", "entry type", STRUCT),
};
/** Where the number of an entry is no page's: a slot of a swap device, a marker's bits. */
const NO_PAGE = /^(this\.)?swap\.|^slot$|PTE_MARKER/;

/** What kind of source a rule is for. */
type Where = "any" | "hmm" | "raw" | "failure";
/** Methods, by what they are called on and their name; the first that fits. */
const METHODS: readonly (readonly [on: RegExp, method: string, where: Where, way: Way])[] = [
  [/#pfns$/, "online", "raw", reads("frame", "raw scan", "section")],
  [/#pfns$/, "(page|map)", "failure", reads("either", "raw scan", STRUCT)],
  [/#pfns$/, "page", "raw", reads("frame", "raw scan", "section")],
  [/folios$/, "ofMigration", "any", reads("frame", "page table", "entry type", STRUCT)],
  [/numbers$/, "lent", "any", reads("frame", "page table", "entry type")],
  [/numbers$/, "find", "any", reads("device", "page table", "entry type")],
  [/numbers$/, "(moving|owns)", "any", reads("either", "page table", "entry type", STRUCT)],
  [/numbers$/, "privateEntry", "any", makes("device", "page table")],
  [/numbers$/, "migrationEntry", "any", makes("either", "page table")],
  [/numbers$/, "exclusiveEntry", "any", makes("frame", "page table")],
  [/this$/, "#leadsTo", "any", reads("frame", "page table", "entry type", STRUCT)],
  [/this$/, "#setMigration", "any", makes("frame", "page table")],
  [/this$/, "#carried", "any", makes("device", "HMM array")],
  [/naming$/, "mapOf", "hmm", reads("device", "page table", "entry type")],
  [/(hmm|hmm\.pfns)$/, "page", "any", reads("either", "HMM array", "array flag", STRUCT)],
  [/pfns$/, "page", "hmm", reads("either", "HMM array", "array flag", STRUCT)],
  [/pfns$/, "page", "any", reads("either", "migrate array", "array flag", STRUCT)],
  [/pfns$/, "set", "any", makes("either", "migrate array")],
  [/ops$/, "dmaAlias", "any", reads("frame", "answer", "caller")],
  [/naming$/, "numberLow", "any", makes("either", "snapshot")],
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
  if (ts.isIdentifier(expression)) return isSlot(call) ? undefined : FREE[expression.text];
  if (!ts.isPropertyAccessExpression(expression)) return undefined;
  const on = expression.expression.getText();
  const name = expression.name.getText();
  const where = whereOf(file);
  return METHODS.find(
    ([of, method, only]) =>
      of.test(on) && new RegExp(`^${method}$`).test(name) && where.includes(only),
  )?.[3];
}

/** Whether what a call gives is used as something else than a page's number. */
function isSlot({ parent }: ts.CallExpression): boolean {
  if (ts.isCallExpression(parent)) return NO_PAGE.test(parent.expression.getText());
  if (ts.isVariableDeclaration(parent)) return NO_PAGE.test(parent.name.getText());
  return ts.isBinaryExpression(parent) && NO_PAGE.test(parent.right.getText());
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
