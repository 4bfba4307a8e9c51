/**
 * Which scattered objects, lookups and homes of node and zone go together, and
 * why the others do not.
 *
 * What a design leaves open follows from what it says: a lookup that takes the
 * whole of an 8-byte word moves node and zone elsewhere. Every refusal names its
 * reason; combinations that would only cost (a second home for what has one) are
 * refused too.
 *
 * Facts: memdesc-facts §4.1; system.md "Designs are values".
 */
import { SCATTERED_OBJECTS, type ScatteredName } from "./scattered/axis.js";
import { SCATTERED_LOOKUPS, type LookupName } from "./scattered-lookup/axis.js";
import { SCATTERED_NIDS, type NidName } from "./scattered-nid/axis.js";

/** The three axes of a design; `none` is the lookup where there is nothing to find. */
export interface ScatteredChoice {
  readonly scattered: ScatteredName;
  readonly scatteredLookup: LookupName | "none";
  readonly scatteredNid: NidName;
}

/** What somebody asked for; the rest follows. */
export interface ScatteredWish {
  readonly scattered?: ScatteredName;
  readonly scatteredLookup?: LookupName | "none";
  readonly scatteredNid?: NidName;
  /** What a release gets: the page alone, or what the pin carried. */
  readonly scatteredRelease?: "page" | "carried";
}

/** Axes as they are written, their choices, and the field of a wish. */
export const SCATTERED_AXES: readonly {
  readonly axis: string;
  readonly field: keyof ScatteredWish;
  readonly choices: readonly string[];
}[] = [
  { axis: "scattered", field: "scattered", choices: SCATTERED_OBJECTS },
  {
    axis: "scattered-lookup",
    field: "scatteredLookup",
    choices: [...SCATTERED_LOOKUPS, "none"],
  },
  { axis: "scattered-nid", field: "scatteredNid", choices: SCATTERED_NIDS },
  { axis: "scattered-release", field: "scatteredRelease", choices: ["page", "carried"] },
];

/** Words whose own flags say node and zone, whatever the page is. */
const OWN_FLAGS: ReadonlySet<string> = new Set(["page64", "page32", "slot64"]);

/** Lookups that leave nothing in the page. */
const leavesPage = (lookup: LookupName | "none"): boolean => lookup !== "word" && lookup !== "slot";

/** Fills in what was not said. `usual` is what the preset has. */
export function completeScattered(
  word: string,
  usual: ScatteredName,
  wish: ScatteredWish,
): ScatteredChoice {
  const scattered = wish.scattered ?? usual;
  const scatteredLookup = wish.scatteredLookup ?? (scattered === "none" ? "none" : "word");
  return {
    scattered,
    scatteredLookup,
    scatteredNid: wish.scatteredNid ?? usualNid(word, scattered, scatteredLookup),
  };
}

function usualNid(word: string, object: ScatteredName, lookup: LookupName | "none"): NidName {
  if (word !== "memdesc8" || object === "none" || leavesPage(lookup)) return "word";
  return lookup === "slot" ? "flags" : "rebuilt";
}

/** Why the combination cannot be; null where it can. */
export function scatteredProblem(
  word: string,
  choice: ScatteredChoice,
  release?: "page" | "carried",
): string | null {
  const { scattered, scatteredLookup: lookup } = choice;
  return (
    objectProblem(word, scattered, lookup) ??
    releaseProblem(scattered, lookup, release) ??
    nidProblem(word, choice)
  );
}

function objectProblem(
  word: string,
  object: ScatteredName,
  lookup: LookupName | "none",
): string | null {
  if (object === "none" && lookup !== "none")
    return `scattered=none with scattered-lookup=${lookup}: frames are mapped by number, there is no object to find`;
  if (object !== "none" && lookup === "none")
    return `scattered=${object} with scattered-lookup=none: its count has to be found by whoever gives a reference back`;
  if (object !== "per-page") return null;
  if (word === "memdesc8")
    return "scattered=per-page: memdesc8 has no room for a reference and a map count of every page in its word";
  if (lookup !== "word")
    return `scattered=per-page with scattered-lookup=${lookup}: the counts are in the page, nothing else has to be found`;
  return null;
}

function releaseProblem(
  object: ScatteredName,
  lookup: LookupName | "none",
  release: "page" | "carried" | undefined,
): string | null {
  if (release === undefined) return null;
  if (object === "none")
    return `scattered=none with scattered-release=${release}: there is no GUP on frames mapped by number, so nothing is released`;
  const byMapping = lookup === "vma-private" || lookup === "file-private";
  if (byMapping && release === "page")
    return `scattered-lookup=${lookup} with scattered-release=page: a release has only the page, which does not lead to the object; pins must carry it`;
  if (!byMapping && release === "carried")
    return `scattered-lookup=${lookup} with scattered-release=carried: the page leads to its object, a pin need not carry it`;
  return null;
}

function nidProblem(word: string, choice: ScatteredChoice): string | null {
  const { scattered, scatteredLookup: lookup, scatteredNid: nid } = choice;
  if (nid === "word") {
    return word === "memdesc8" && !leavesPage(lookup)
      ? `scattered-lookup=${lookup} with scattered-nid=word: one 8-byte word has no room for a pointer and for node and zone`
      : null;
  }
  if (OWN_FLAGS.has(word))
    return `${word} keeps node and zone in every page's own flags: scattered-nid=word`;
  if (scattered === "none" || scattered === "per-page" || leavesPage(lookup))
    return `scattered=${scattered} with scattered-lookup=${lookup} leaves node and zone in the word: scattered-nid=word`;
  if (nid === "flags" && lookup !== "slot")
    return `scattered-nid=flags with scattered-lookup=${lookup}: flags[] needs the page's index in the object, which only its slot tells`;
  return null;
}
