/**
 * What the sections of the HTML report are made of: headings, tables, changes.
 */
import { formatChange, NONE } from "./format.js";
import { html, type Markup } from "./html-text.js";

/** Where there is nothing to show. */
export const NOTHING = html``;

/** A part of the report under its heading. */
export function section(id: string, title: string, body: Markup): Markup {
  return html`<section aria-labelledby="h-${id}">
    <h2 id="h-${id}">${title}</h2>
    ${body}
  </section>`;
}

/** A sentence in a table: aligned left and broken into lines, unlike figures. */
interface Sentence {
  readonly sentence: string;
}

/** A table with its headings; on a small screen it scrolls by itself. */
export function table(heads: readonly (string | Sentence)[], rows: readonly Markup[]): Markup {
  return html`<div class="wide" tabindex="0">
    <table>
      <thead>
        <tr>
          ${heads.map(headOf)}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`;
}

function headOf(head: string | Sentence): Markup {
  return typeof head === "string"
    ? html`<th scope="col">${head}</th>`
    : html`<th scope="col" class="text">${head.sentence}</th>`;
}

/** A row; its first cell is its heading. */
export function tr(cells: readonly (string | Markup | Sentence)[]): Markup {
  return html`<tr>
    ${cells.map(cellOf)}
  </tr> `;
}

function cellOf(cell: string | Markup | Sentence, column: number): Markup {
  if (typeof cell === "object" && "sentence" in cell) {
    return html`<td class="text dim">${cell.sentence}</td>`;
  }
  return column === 0 ? html`<th scope="row">${cell}</th>` : html`<td>${cell}</td>`;
}

/** A change in bytes, coloured; a dash for none. */
export function change(bytes: number): Markup {
  if (bytes === 0) return html`${NONE}`;
  return html`<span class="${bytes < 0 ? "good" : "bad"}">${formatChange(bytes)}</span>`;
}
