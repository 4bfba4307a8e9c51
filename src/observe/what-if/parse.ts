/**
 * What-ifs as they are typed: `file-order=4`, `anon-order=2`, `shmem-order=9`,
 * `page-size=64k`, `ram=1TiB`; several separated by commas or given one by one.
 */
import { parseBytes } from "../../units.js";
import { InputError } from "../input-error.js";

/** One change of the machine. */
export type WhatIf =
  | { readonly change: "order"; readonly kind: "file" | "shmem" | "anon"; readonly order: number }
  | { readonly change: "page-size"; readonly bytes: number }
  | { readonly change: "ram"; readonly bytes: number };

const FORMS = "file-order=N, shmem-order=N, anon-order=N (0 to 9), page-size=16k|64k, ram=SIZE";

/** Reads what was typed; throws InputError, naming the word, for anything else. */
export function parseWhatIfs(texts: readonly string[]): WhatIf[] {
  return texts.flatMap((text) => text.split(",")).map(parseOne);
}

function parseOne(text: string): WhatIf {
  const [name = "", value = ""] = text.trim().split("=");
  const refuse = (why: string): never => {
    throw new InputError({ file: `--what-if ${text.trim()}` }, why, `there are ${FORMS}`);
  };
  const of = /^(file|shmem|anon)-order$/.exec(name);
  if (of) {
    const order = Number(value);
    if (value === "" || !Number.isInteger(order) || order < 0 || order > 9)
      refuse(`"${value}" is no order from 0 to 9`);
    return { change: "order", kind: of[1] as "file" | "shmem" | "anon", order };
  }
  const bytes = parseBytes(value);
  if (name === "page-size") {
    if (bytes !== 16384 && bytes !== 65536) return refuse(`"${value}" is neither 16k nor 64k`);
    return { change: "page-size", bytes };
  }
  if (name === "ram") {
    if (bytes === undefined || bytes < 2 ** 26 || bytes > 2 ** 43)
      return refuse(`"${value}" is no size from 64 MiB to 8 TiB`);
    return { change: "ram", bytes };
  }
  return refuse(`"${name}" is nothing that can be changed`);
}
