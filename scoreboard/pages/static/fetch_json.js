/**
 * Request to the HTTP API that ends within a time limit, with an answer or with RetryLater.
 */

const TIMEOUT_MS = 10_000;

/** The server gave no usable answer: try again later. `retryAfter` is its header, null without one. */
export class RetryLater extends Error {
  /**
   * @param {string} message
   * @param {string | null} [retryAfter]
   */
  constructor(message, retryAfter = null) {
    super(message);
    this.retryAfter = retryAfter;
  }
}

/**
 * Rejects with RetryLater if there is no answer in time.
 * @param {typeof globalThis.fetch} fetch
 * @param {string} path
 * @param {RequestInit} options
 * @returns {Promise<{ status: number, retryAfter: string | null, body: any }>} `body` is null if it is no JSON
 */
export async function fetchJson(fetch, path, options) {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), TIMEOUT_MS);
  try {
    const response = await fetch(path, { ...options, signal: abort.signal }).catch(noAnswer);
    const text = await response.text().catch(noAnswer);
    return { status: response.status, retryAfter: response.headers.get("Retry-After"), body: parse(text) };
  } finally {
    clearTimeout(timer);
  }
}

/** @param {unknown} error @returns {never} */
function noAnswer(error) {
  throw new RetryLater(String(error));
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
