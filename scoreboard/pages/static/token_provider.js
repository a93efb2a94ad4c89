/**
 * Access token provider. A player's token is stored in this tab's sessionStorage and nowhere else; without one the provider fetches a
 * spectator token. It reads a token's claims only for display: the server alone verifies them.
 *
 * @typedef {{ userId: string, username: string }} Player
 */

const STORAGE_KEY = "scoreboard.token";
const SPECTATOR_PATH = "/api/v1/auth/spectator";
/** A spectator token is renewed this long before it expires: three heartbeats, in case a hidden tab's timers are slow. */
const RENEW_EARLY_MS = 90_000;
const FETCH_TIMEOUT_MS = 10_000;

/** The server issues no spectator tokens: the viewer must sign in. */
export class TokenRequired extends Error {}

/** The server issues no spectator token now; `waitMs` is its `Retry-After`. */
export class RetryLater extends Error {
  /** @param {Response} response */
  constructor(response) {
    super(`no spectator token: ${response.status}`);
    this.waitMs = Number(response.headers.get("Retry-After") ?? 0) * 1000;
  }
}

export class TokenProvider {
  #storage;
  #fetch;
  #now;
  /** @type {{ token: string, expiresAtMs: number } | null} */
  #spectator = null;

  /**
   * @param {{ storage: Storage, fetch: typeof globalThis.fetch, now: () => number }} dependencies
   */
  constructor({ storage, fetch, now }) {
    this.#storage = storage;
    this.#fetch = fetch;
    this.#now = now;
  }

  /**
   * Move a token from the URL's fragment (`#token=…`), where it is visible, to this tab's storage.
   * @param {Location} location
   * @param {History} history
   */
  takeFragment(location, history) {
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    if (token === null) return;
    history.replaceState(null, "", location.pathname + location.search);
    this.signIn(token);
  }

  /** Store this token; false, and nothing changes, if it is not a JWT. @param {string} token */
  signIn(token) {
    if (!decodeClaims(token)) return false;
    this.#storage.setItem(STORAGE_KEY, token);
    return true;
  }

  /** Delete the stored token. */
  signOut() {
    this.#storage.removeItem(STORAGE_KEY);
  }

  /** Delete all tokens after the server rejected one. True if the viewer was signed in. */
  discard() {
    const wasSignedIn = this.isSignedIn;
    this.signOut();
    this.#spectator = null;
    return wasSignedIn;
  }

  /** Whether the viewer's own token is stored. */
  get isSignedIn() {
    return this.#stored !== null;
  }

  /** The player whom the stored token names; null for a spectator. @returns {Player | null} */
  get player() {
    const { userId, username = userId, role } = decodeClaims(this.#stored ?? "") ?? {};
    return typeof userId === "string" && role !== "spectator" ? { userId, username: String(username) } : null;
  }

  /** HTTP headers with the stored token. */
  get headers() {
    return { Authorization: `Bearer ${this.#stored}` };
  }

  /**
   * The stored token, or else a spectator token that is renewed in time. Rejects with TokenRequired if the server issues none.
   * @returns {Promise<string>}
   */
  async token() {
    if (this.#stored) return this.#stored;
    const old = this.#spectator;
    const leftMs = old ? old.expiresAtMs - this.#now() : 0;
    if (old && leftMs > RENEW_EARLY_MS) return old.token;
    try {
      this.#spectator = await this.#fetchSpectatorToken(old && leftMs > 0 ? old.token : null);
      return this.#spectator.token;
    } catch (error) {
      if (old && leftMs > 0) return old.token;
      throw error;
    }
  }

  /** @returns {string | null} */
  get #stored() {
    return this.#storage.getItem(STORAGE_KEY);
  }

  /**
   * Sends a valid old token along, so that the new one names the same spectator: an open connection accepts no other.
   * @param {string | null} old
   */
  async #fetchSpectatorToken(old) {
    const headers = new Headers(old ? { Authorization: `Bearer ${old}` } : {});
    const response = await this.#fetch(SPECTATOR_PATH, { method: "POST", headers, signal: AbortSignal.timeout(FETCH_TIMEOUT_MS) });
    if (response.status === 404) throw new TokenRequired();
    if (!response.ok) throw new RetryLater(response);
    const { token } = (await response.json()).data;
    // The lifetime is the difference of two server times, so the viewer's clock may be wrong.
    const { iat, exp } = decodeClaims(token) ?? {};
    return { token, expiresAtMs: this.#now() + (exp - iat) * 1000 };
  }
}

/**
 * The unverified claims of a JSON Web Token; null if they cannot be decoded.
 * @param {string} token
 * @returns {Record<string, any> | null}
 */
function decodeClaims(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return claims !== null && typeof claims === "object" ? claims : null;
  } catch {
    return null;
  }
}
