/**
 * The rule of userfaultfds: a flag, a context and a process that belong together.
 *
 * Source: fs/userfaultfd.c of 6.18 (BUG_ON(!!vm_userfaultfd_ctx.ctx ^ !!(vm_flags &
 * __VM_UFFD_FLAGS)), BUG_ON(ctx->mm != mm)).
 */
import type { Ref } from "../../../units.js";
import { USERFAULTFD_CTX_REFCOUNT } from "../../layout/generated/offsets.js";
import { VM_UFFD_MISSING } from "../../process/constants.js";
import { O_USERFAULTFD_CTX } from "../../process/objects.js";
import type { KernelRule } from "./rule.js";
import type { MmView, VmaView } from "./shape.js";
import { place, type ProcessView } from "./view.js";

const NONE = 0 as Ref;

/** What is wrong with the registration of a VMA; null for nothing. */
function wrong({ base, kernel, isObject }: ProcessView, mm: MmView, v: VmaView): string | null {
  const ctx = base.vmas.userfault(v.vma);
  const flagged = (v.flags & VM_UFFD_MISSING) !== 0;
  if (ctx === NONE) return flagged ? "is registered and names no userfaultfd" : null;
  if (!flagged) return "names a userfaultfd and is not registered";
  if (!isObject(O_USERFAULTFD_CTX, ctx)) return "names a userfaultfd that is closed";
  if (kernel.userFaults.mm(ctx) !== mm.mm) return "names a userfaultfd of another process";
  const anonymous = base.vmas.file(v.vma) === NONE && base.vmas.ops(v.vma) === 0;
  return anonymous ? null : "is registered and is no anonymous memory";
}

export const USERFAULTFDS_KNOW_THEIR_MEMORY: KernelRule = {
  name: "userfaultfds know their memory",
  says: "a VMA is registered where it names a userfaultfd that is open and its process's, and only private anonymous memory is; every context is an open fd of a process",
  watch(view, report) {
    for (const mm of view.mms)
      for (const v of mm.vmas) {
        const detail = wrong(view, mm, v);
        if (detail !== null) report(-1, `a VMA ${detail}`, place(mm, v.start));
      }
    const open = new Set(view.kernel.userFaults.contexts());
    for (const ctx of view.objects[O_USERFAULTFD_CTX]) {
      if (!open.has(ctx)) report(-1, `userfaultfd context ${ctx} is of no fd`, "nobody");
      const count = view.core.w.load32(ctx, USERFAULTFD_CTX_REFCOUNT);
      if (count !== 1) report(-1, `userfaultfd context ${ctx} counts ${count}`, "its fd");
      const mm = view.kernel.userFaults.mm(ctx);
      if (!view.mms.some((m) => m.mm === mm && m.pid >= 0))
        report(-1, `userfaultfd context ${ctx} is of no process`, "its fd");
    }
  },
};
