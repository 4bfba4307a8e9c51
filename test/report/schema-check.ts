/**
 * As much of JSON Schema as docs/inspect.schema.json uses: enough to say where
 * a document and its published description disagree.
 */
type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
interface Schema {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly type?: string | readonly string[];
  readonly const?: Json;
  readonly enum?: readonly Json[];
  readonly minimum?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
}

/** Disagreements as `path: what`; empty where the document conforms. */
export function disagreements(document: Json, root: Schema): string[] {
  return check(document, root, "$", root);
}

function check(value: Json, schema: Schema, at: string, root: Schema): string[] {
  if (schema.$ref !== undefined) {
    const found = root.$defs?.[schema.$ref.replace("#/$defs/", "")];
    return found === undefined ? [`${at}: no ${schema.$ref}`] : check(value, found, at, root);
  }
  const errors: string[] = [];
  if (schema.type !== undefined && ![schema.type].flat().some((type) => isOfType(value, type))) {
    return [`${at}: ${JSON.stringify(value)} is not ${String(schema.type)}`];
  }
  if ("const" in schema && value !== schema.const)
    errors.push(`${at}: not ${String(schema.const)}`);
  if (schema.enum !== undefined && !schema.enum.includes(value)) errors.push(`${at}: not in enum`);
  if (typeof value === "number" && value < (schema.minimum ?? -Infinity))
    errors.push(`${at}: too small`);
  if (Array.isArray(value) && schema.items !== undefined) {
    const { items } = schema;
    value.forEach((item, i) => errors.push(...check(item, items, `${at}[${i}]`, root)));
  }
  if (isRecord(value)) errors.push(...checkRecord(value, schema, at, root));
  return errors;
}

function checkRecord(
  value: { readonly [key: string]: Json },
  schema: Schema,
  at: string,
  root: Schema,
): string[] {
  const known = schema.properties ?? {};
  return [
    ...(schema.required ?? []).filter((key) => !(key in value)).map((key) => `${at}: no ${key}`),
    ...Object.entries(value).flatMap(([key, inner]) => {
      if (key in known) return check(inner, known[key], `${at}.${key}`, root);
      return schema.additionalProperties === false ? [`${at}: unexpected ${key}`] : [];
    }),
  ];
}

function isRecord(value: Json): value is { readonly [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isOfType(value: Json, type: string): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return isRecord(value);
    case "integer":
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}
