// The milliseconds to wait before the next attempt, 500 to 30,000: about 1 s, doubled with each attempt, or what Retry-After asks for.
// The random part keeps clients that were refused together from coming back together.
export function waitMs(attempt, retryAfter) {
  const backoff = Math.min(20, 2 ** attempt) * (0.5 + Math.random());
  const asked = Math.min(24, Number.parseFloat(retryAfter) || 0) * (1 + Math.random() / 4); // a date or nonsense counts as 0
  return 1000 * Math.max(backoff, asked);
}

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
