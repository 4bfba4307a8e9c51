/**
 * Reports as JSON text. The shape is published: docs/inspect-schema.md in words,
 * docs/inspect.schema.json for machines; `schema` in the document names it.
 */
import type { InspectReport } from "./model.js";
import type { PageReport } from "./page-model.js";

/** Two-space indented, so that a diff of two reports is readable; ends with a newline. */
export function renderJson(report: InspectReport | PageReport): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}
