/**
 * The shape of a layout table: what a struct of the simulated machine consists
 * of, with where its layout comes from. The tables are generated from
 * structs.layout; this file is what they conform to.
 */

/** How far a layout or a rule can be trusted; every report shows it. */
export type Fidelity = "verbatim" | "derived" | "assumed" | "invented";

export interface StructField {
  readonly name: string;
  /** Bytes from the start of the struct. */
  readonly offset: number;
  /** Bytes. */
  readonly width: number;
  /** Shares its bytes with a field listed before it. */
  readonly overlay: boolean;
}

export interface StructTable {
  /** Bytes. */
  readonly size: number;
  readonly fidelity: Fidelity;
  readonly source: string;
  readonly fields: readonly StructField[];
}
