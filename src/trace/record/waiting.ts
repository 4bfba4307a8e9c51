/** Waiting for one of several things, without leaving another's failure unheard. */

export function pause(milliseconds: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(undefined), milliseconds);
  });
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** What `work` gives, unless what runs beside it and ends after it fails first. */
export async function unlessFailed<T>(beside: Promise<void>, work: Promise<T>): Promise<T> {
  // Where the other fails first nobody waits for the work.
  work.catch(() => {});
  return Promise.race([work, beside.then(() => work)]);
}
