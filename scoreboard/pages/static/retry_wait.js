/**
 * Wait before a retry: exponential backoff with jitter, or the longer time that the server asked for with `Retry-After`.
 *
 * Every retry of the page takes its wait from here; `cli/retry_wait.py` is the same function for the clients in Python. The jitter keeps
 * a thousand pages from reconnecting at once.
 */

const WAIT_MIN_MS = 500;
const WAIT_MAX_MS = 30_000;
/** The first backoff is about 1 s, each further one about twice as long; the jitter is half of it more or less. */
const BACKOFF_MS = 1_000;
const BACKOFF_MAX_MS = 20_000;
/** The jitter after the time that the server asked for is up to a quarter of it, so this much ends within WAIT_MAX_MS. */
const REQUESTED_MAX_MS = 24_000;

/**
 * The wait in milliseconds, 500 to 30,000.
 * @param {{ failures: number, retryAfter?: unknown, spreadMs?: number, nowMs: number, random: number }} options `failures` in a row
 *   before this one; `retryAfter` as the server sent it; `spreadMs` over which all clients of a stopped server reconnect;
 *   `random` from 0 to 1
 */
export function retryWaitMs({ failures, retryAfter = null, spreadMs = 0, nowMs, random }) {
  const backoffMs = spreadMs ? BACKOFF_MS + random * spreadMs : Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** failures) * (0.5 + random);
  const requestedMs = Math.min(REQUESTED_MAX_MS, requestedWaitMs(retryAfter, nowMs)) * (1 + random / 4);
  return Math.min(WAIT_MAX_MS, Math.max(WAIT_MIN_MS, backoffMs, requestedMs));
}

/**
 * The wait that a `Retry-After` names (RFC 9110, 10.2.3): seconds, a date, or the longest of several seconds where a proxy joined two
 * headers; 0 for anything else.
 * @param {unknown} retryAfter
 * @param {number} nowMs
 */
function requestedWaitMs(retryAfter, nowMs) {
  const text = String(retryAfter ?? "").trim();
  const seconds = text.split(",").map(Number).filter((number) => number >= 0);
  if (seconds.length) return Math.max(...seconds) * 1000;
  // The form of a date without a zone (asctime) is in UTC too.
  const dateMs = Date.parse(text.endsWith("GMT") ? text : `${text} GMT`);
  return dateMs > nowMs ? dateMs - nowMs : 0;
}
