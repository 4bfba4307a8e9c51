/**
 * The few colours of the terminal report: headings bold, secondary text dim,
 * a cheaper design green, a dearer one and a failure red. Whether there is
 * colour at all is decided by who prints (`src/cli/output.ts`), never here.
 */
import { Ansis } from "ansis";

export interface Paint {
  readonly heading: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
}

/** Paint with the 16 basic colours, or with none. */
export function paint(color: boolean): Paint {
  const a = new Ansis(color ? 1 : 0);
  return {
    heading: (text) => a.bold(text),
    dim: (text) => a.dim(text),
    good: (text) => a.green(text),
    bad: (text) => a.red(text),
  };
}
