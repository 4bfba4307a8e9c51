/**
 * Writes docs/api.md: everything that src/index.ts exports, with the doc comments
 * that stand at the code. With --check it changes nothing and exits 1 if the file
 * is old, or if something that is exported has no doc comment.
 *
 * The sections are the comments between the exports of index.ts. Types that a
 * signature names but index.ts does not export are listed at the end, as what may
 * change. The TypeScript compiler is here anyway; typedoc with its Markdown plugin
 * would bring a highlighter and a search index for one file of text.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("..", import.meta.url));
const file = (path) => `${root}${path}`;

const { options } = ts.parseJsonConfigFileContent(
  ts.readConfigFile(file("tsconfig.json"), ts.sys.readFile).config,
  ts.sys,
  root,
);
const program = ts.createProgram([file("src/index.ts")], options);
const checker = program.getTypeChecker();
const index = program.getSourceFile(file("src/index.ts"));

/** Names without a doc comment that should have one. */
const bare = [];
/** Types of the project that signatures name: name to declaration. */
const named = new Map();
const exported = new Set();

/** A doc comment as one paragraph; empty where there is none. */
function docOf(node) {
  const jsdoc = ts.getJSDocCommentsAndTags(node).findLast(ts.isJSDoc);
  if (jsdoc === undefined) return "";
  const text = ts.getTextOfJSDocComment(jsdoc.comment) ?? "";
  return text
    .replaceAll(/\s+/g, " ")
    .replaceAll(/\{@link ([^}]*)\}/g, "`$1`")
    .trim();
}

/** The first paragraph of the comment that a file opens with: every file is about one thing. */
function openingOf(node) {
  const { text } = node.getSourceFile();
  const opening = /^\/\*\*\n([\s\S]*?)\*\//.exec(text)?.[1] ?? "";
  const [first] = opening
    .replaceAll(/^ \* ?/gm, "")
    .trim()
    .split("\n\n");
  return first.replaceAll(/\s+/g, " ");
}

/** What a declaration says of itself; a class or shape without words, what its file says. */
function aboutOf(declaration) {
  const doc = docOf(docNode(declaration));
  const stands = ts.isClassDeclaration(declaration) || ts.isInterfaceDeclaration(declaration);
  return doc === "" && stands ? openingOf(declaration) : doc;
}

/** Source text on one line. */
const flat = (text) =>
  text
    .replaceAll(/\/\*\*.*?\*\//gs, "")
    .replaceAll(/\s+/g, " ")
    .trim();

/** Notes the project's own types in a piece of code. */
function noteTypes(node) {
  const visit = (n) => {
    if (ts.isTypeReferenceNode(n)) {
      let symbol = checker.getSymbolAtLocation(n.typeName);
      if (symbol !== undefined && symbol.flags & ts.SymbolFlags.Alias)
        symbol = checker.getAliasedSymbol(symbol);
      const declaration = symbol?.declarations?.[0];
      const own = declaration?.getSourceFile().fileName.startsWith(file("src/"));
      if (own && !ts.isTypeParameterDeclaration(declaration)) named.set(symbol.name, declaration);
    }
    ts.forEachChild(n, visit);
  };
  if (node !== undefined) visit(node);
}

const isHidden = (member) =>
  member.name === undefined ||
  ts.isPrivateIdentifier(member.name) ||
  (ts.getCombinedModifierFlags(member) &
    (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) !==
    0;

const isStatic = (member) => (ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Static) !== 0;

/** `(a: number, b = 0): string` of a function, method or constructor. */
function signature(node) {
  for (const parameter of node.parameters) noteTypes(parameter);
  noteTypes(node.type);
  const generics =
    node.typeParameters === undefined
      ? ""
      : `<${node.typeParameters.map((p) => flat(p.getText())).join(", ")}>`;
  const parameters = node.parameters.map((p) => flat(p.getText())).join(", ");
  const result = node.type === undefined ? "" : `: ${flat(node.type.getText())}`;
  return `${generics}(${parameters})${result}`;
}

function typeText(node) {
  noteTypes(node.type);
  if (node.type !== undefined) return flat(node.type.getText());
  if (node.initializer !== undefined && ts.isNewExpression(node.initializer))
    return node.initializer.expression.getText();
  return checker.typeToString(
    checker.getTypeAtLocation(node),
    node,
    ts.TypeFormatFlags.NoTruncation,
  );
}

/** A member as a line of a list: its signature and what it says of itself. */
function memberLine(owner, member) {
  const name = `${isStatic(member) ? `${owner}.` : ""}${member.name.getText()}`;
  const optional = member.questionToken === undefined ? "" : "?";
  const isCall = ts.isMethodDeclaration(member) || ts.isMethodSignature(member);
  const code = isCall
    ? `${name}${optional}${signature(member)}`
    : `${name}${optional}: ${typeText(member)}`;
  const doc = docOf(member);
  return `- \`${code}\`${doc === "" ? "" : `  \n  ${doc}`}`;
}

/** Public members, those of bases behind a class's own; overloads each. */
function membersOf(declaration) {
  const own = declaration.members.filter(
    (m) => !isHidden(m) && !ts.isConstructorDeclaration(m) && !ts.isSetAccessorDeclaration(m),
  );
  const seen = new Set(own.map((m) => m.name.getText()));
  const inherited = [];
  for (const clause of declaration.heritageClauses ?? []) {
    if (clause.token === ts.SyntaxKind.ImplementsKeyword) continue;
    for (const base of clause.types) {
      let symbol = checker.getSymbolAtLocation(base.expression);
      if (symbol !== undefined && symbol.flags & ts.SymbolFlags.Alias)
        symbol = checker.getAliasedSymbol(symbol);
      const from = symbol?.declarations?.[0];
      if (from === undefined || !from.getSourceFile().fileName.startsWith(file("src/"))) continue;
      if (!ts.isClassDeclaration(from) && !ts.isInterfaceDeclaration(from)) continue;
      for (const member of membersOf(from))
        if (!seen.has(member.name.getText())) inherited.push(member);
    }
  }
  return [...own, ...inherited];
}

/** A class or interface in full. */
function structure(name, declaration, kind) {
  const members = membersOf(declaration);
  const told = members.filter((m) => kind === "interface" || docOf(m) !== "");
  const rest = members.filter((m) => !told.includes(m));
  for (const member of rest) noteTypes(member.type);
  const made = declaration.members.find(ts.isConstructorDeclaration);
  const constructible = made !== undefined && !isHidden({ ...made, name: made });
  return [
    `#### ${kind} \`${name}\``,
    aboutOf(declaration),
    ...(constructible && docOf(made) !== ""
      ? [`- \`new ${name}${signature(made)}\`  \n  ${docOf(made)}`]
      : []),
    told.map((m) => memberLine(name, m)).join("\n"),
    ...(rest.length === 0 ? [] : [`Also: ${[...new Set(rest.map((m) => plain(m)))].join(", ")}.`]),
  ].filter((text) => text !== "");
}

const plain = (member) =>
  ts.isMethodDeclaration(member)
    ? `\`${member.name.getText()}${signature(member)}\``
    : `\`${member.name.getText()}: ${typeText(member)}\``;

/** A number of the kernel's interface: it needs no description of its own. */
const isNumber = (declaration) =>
  ts.isVariableDeclaration(declaration) &&
  declaration.initializer !== undefined &&
  /^(MAP|PROT|MADV|VM|FOLL|MREMAP|T)_/.test(declaration.name.getText());

function entry(name, declaration) {
  if (ts.isClassDeclaration(declaration)) return structure(name, declaration, "class");
  if (ts.isInterfaceDeclaration(declaration)) return structure(name, declaration, "interface");
  if (ts.isFunctionDeclaration(declaration))
    return [`#### \`${name}${signature(declaration)}\``, docOf(declaration)];
  if (ts.isTypeAliasDeclaration(declaration)) {
    noteTypes(declaration.type);
    return [`#### type \`${name}\` = \`${flat(declaration.type.getText())}\``, docOf(declaration)];
  }
  const { initializer } = declaration;
  const code =
    initializer !== undefined && ts.isArrowFunction(initializer)
      ? `${name}${signature(initializer)}`
      : `${name}: ${typeText(declaration)}`;
  return [`#### \`${code}\``, docOf(declaration)];
}

const docNode = (declaration) =>
  ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;

/** Name to declaration of everything in one `export { … } from`. */
function exportsOf(statement) {
  return statement.exportClause.elements.map((element) => {
    let symbol = checker.getSymbolAtLocation(element.name);
    if (symbol.flags & ts.SymbolFlags.Alias) symbol = checker.getAliasedSymbol(symbol);
    return [element.name.text, symbol.declarations[0]];
  });
}

/** The `// …` line above a statement; null where there is none. */
function headingOf(statement) {
  const text = index.text.slice(statement.getFullStart(), statement.getStart(index));
  return /^\/\/ (.*?)\.?$/m.exec(text)?.[1] ?? null;
}

const parts = [];
const statements = index.statements.filter(ts.isExportDeclaration);
for (const statement of statements) for (const [name] of exportsOf(statement)) exported.add(name);
for (const statement of statements) {
  const heading = headingOf(statement);
  if (heading !== null) parts.push(`## ${heading}`);
  const all = exportsOf(statement);
  const numbers = all.filter(([, declaration]) => isNumber(declaration));
  for (const [name, declaration] of all) {
    if (isNumber(declaration)) continue;
    if (aboutOf(declaration) === "") bare.push(name);
    parts.push(...entry(name, declaration).filter((text) => text !== ""));
  }
  const from = relative(root, numbers[0]?.[1].getSourceFile().fileName ?? "");
  if (numbers.length > 0)
    parts.push(
      `#### Numbers of \`${from}\``,
      numbers
        .map(
          ([name, d]) => `\`${name}\` = ${flat(d.initializer.getText()).replace(/ as \w+$/, "")}`,
        )
        .join(", "),
    );
}
const internal = [...named]
  .filter(([name]) => !exported.has(name))
  .toSorted(([a], [b]) => (a < b ? -1 : 1))
  .map(([name, declaration]) => {
    const source = relative(root, declaration.getSourceFile().fileName);
    const doc = aboutOf(declaration);
    return `- \`${name}\` (${source})${doc === "" ? "" : `: ${doc}`}`;
  });
const text = `${[
  "# API reference",
  "Everything that `import … from \"memdesc\"` gives, from the doc comments in the code: written by `node scripts/api-reference.mjs`, checked in CI. Addresses, lengths and offsets are bytes; frames (pfn), orders and counts of pages are plain numbers; a `Ref` is an address in the machine's arena divided by 16. A refused call throws MmError with the kernel's errno, a bad access SignalError, a wrong argument TypeError or RangeError, a broken rule RuleViolation.",
  ...parts,
  "## What signatures name and the package does not export",
  "Rooms of the engine: read them, call them in a scenario, but they may change.",
  internal.join("\n"),
].join("\n\n")}\n`;

if (bare.length > 0) {
  console.error(`exported without a doc comment: ${bare.join(", ")}`);
  process.exitCode = 1;
}
const target = file("docs/api.md");
if (!process.argv.includes("--check")) writeFileSync(target, text);
else if (text !== readFileSync(target, "utf8")) {
  console.error("docs/api.md is old: run node scripts/api-reference.mjs");
  process.exitCode = 1;
}
