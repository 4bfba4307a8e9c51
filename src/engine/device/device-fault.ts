/**
 * What a driver is told of a CPU fault on one of its pages: struct vm_fault, as far
 * as migrate_to_ram looks at it.
 */
import type { Ref } from "../../units.js";

export interface DeviceFault {
  readonly mm: Ref;
  readonly vma: Ref;
  /** Page number of the access. */
  readonly vpn: number;
  /** The page at the entry (DevicePage), locked and held. */
  readonly page: number;
  /** Whether the entry is a PMD's (vmf->pte is NULL). */
  readonly huge: boolean;
}
