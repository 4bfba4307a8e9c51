/**
 * Reads src/engine/layout/structs.layout and writes its two faces in TypeScript:
 * generated/offsets.ts, one constant per field, for the engine's hot paths; and
 * generated/tables.ts, the same as data, for decoding a struct field by field.
 * Run by `npm run build`; the output is not committed.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

const here = new URL("../src/engine/layout/", import.meta.url);
const text = readFileSync(new URL("structs.layout", here), "utf8");

const fail = (line, why) => {
  throw new Error(`structs.layout line ${line}: ${why}`);
};

const structs = [];
for (const [i, raw] of text.split("\n").entries()) {
  const line = raw.replace(/#.*/, "").trimEnd();
  if (line.trim() === "") continue;
  const head = /^struct (\w+) (\d+) (verbatim|derived|assumed|invented) "(.+)"$/.exec(line);
  if (head) {
    structs.push({
      name: head[1],
      size: Number(head[2]),
      fidelity: head[3],
      source: head[4],
      fields: [],
    });
    continue;
  }
  const field = /^ {2}(\d+) (\d+) (\w+)( overlay)?$/.exec(line);
  const struct = structs.at(-1);
  if (!field || !struct) fail(i + 1, `not a struct or a field: ${raw}`);
  const [offset, width] = [Number(field[1]), Number(field[2])];
  const end = struct.fields.reduce((most, f) => Math.max(most, f.offset + f.width), 0);
  if (!field[4] && offset < end)
    fail(i + 1, `${field[3]} overlaps the field before it and is not marked overlay`);
  if (offset + width > struct.size) fail(i + 1, `${field[3]} ends beyond ${struct.name}`);
  if (offset % Math.min(width, 8) !== 0) fail(i + 1, `${field[3]} is not aligned`);
  struct.fields.push({ offset, width, name: field[3], overlay: Boolean(field[4]) });
}

const note = "// Generated from structs.layout by scripts/generate-layout.mjs. Do not edit.\n";
const offsets = structs.flatMap((s) => [
  `\n/** ${s.source} (${s.fidelity}). */`,
  `export const ${s.name}_SIZE = ${s.size};`,
  ...s.fields.map((f) => `export const ${s.name}_${f.name.toUpperCase()} = ${f.offset};`),
]);
const tables = structs.map(
  (s) =>
    `  ${s.name}: ${JSON.stringify({ size: s.size, fidelity: s.fidelity, source: s.source, fields: s.fields })},`,
);
mkdirSync(new URL("generated/", here), { recursive: true });
writeFileSync(new URL("generated/offsets.ts", here), `${note}${offsets.join("\n")}\n`);
writeFileSync(
  new URL("generated/tables.ts", here),
  `${note}import type { StructTable } from "../struct-table.js";\n\n` +
    `export const STRUCTS = {\n${tables.join("\n")}\n} as const satisfies Readonly<Record<string, StructTable>>;\n`,
);
