/** Kinds of kernel objects that scattered memory is made of: none may be left at the end. */
import { O_INDEX_NODE, O_VM_STRUCT } from "../../../src/engine/process/objects.js";

export const FIRST_SCATTERED = O_VM_STRUCT;
export const LAST_SCATTERED = O_INDEX_NODE;
