/** What every part of the benchmark is. */
export interface Section {
  /** As typed on the command line. */
  readonly name: string;
  /** Measures and prints. `quick` asks for few rounds: it shows that it works, not how fast. */
  run(quick: boolean): Promise<void>;
}
