/**
 * Building HTML without ever forgetting to escape.
 *
 * {@link html} is a template tag: what stands in the template is markup, what
 * is put in is text and is escaped, unless it is itself the result of the tag
 * (or a list of such). So a snapshot's name or a note can hold anything.
 */

/** Markup that is safe to put into a page. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Part = Markup | string | number | readonly Part[];

/** Markup with every inserted string escaped. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  let out = strings[0];
  for (let i = 0; i < parts.length; i++) out += inserted(parts[i]) + strings[i + 1];
  return new Markup(out);
}

function inserted(part: Part): string {
  if (part instanceof Markup) return part.text;
  if (typeof part === "string") return escapeText(part);
  if (typeof part === "number") return String(part);
  return part.map(inserted).join("");
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text fit for element content and quoted attributes; control characters are replaced. */
export function escapeText(text: string): string {
  return (
    text
      .replace(/[&<>"']/g, (ch) => ESCAPES[ch])
      // oxlint-disable-next-line no-control-regex -- characters that HTML does not allow
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd")
  );
}
