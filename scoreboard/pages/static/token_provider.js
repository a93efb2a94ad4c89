/**
 * Access token provider. A player's token is stored in this tab and nowhere else; without one the provider fetches a spectator token.
 * It reads a token's claims only for display: the server alone verifies them.
 *
 * @typedef {{ userId: string, username: string }} Player
 */

import { fetchJson, RetryLater } from "./fetch_json.js";

const SPECTATOR_PATH = "/api/v1/auth/spectator";
/** A spectator token is renewed this long before it expires: three heartbeats, in case a hidden tab's timers are slow. */
const RENEW_EARLY_MS = 90_000;

/** The form of a JSON Web Token, and its greatest length (docs/protocol-http.md). */
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/;
const TOKEN_CHARS_MAX = 4096;

/** The server issues no spectator tokens: the viewer must sign in. */
export class TokenRequired extends Error {}

export class TokenProvider {
  #kept;
  #fetch;
  #now;
  /** @type {{ token: string, expiresAtMs: number } | null} */
  #spectator = null;

  /**
   * @param {{ kept: import("./kept_token.js").KeptToken, fetch: typeof globalThis.fetch, now: () => number }} dependencies
   */
  constructor({ kept, fetch, now }) {
    this.#kept = kept;
    this.#fetch = fetch;
    this.#now = now;
  }

  /**
   * Move a token from the URL's fragment (`#token=…`), where it is visible, to this tab's storage. False if it is not a JWT.
   * @param {Location} location
   * @param {History} history
   */
  takeFragment(location, history) {
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    if (token === null) return true;
    history.replaceState(null, "", location.pathname + location.search);
    return this.signIn(token);
  }

  /**
   * Store the token in a text that was pasted, perhaps with `Bearer` before it or broken into lines; false, and nothing changes, if
   * there is no JSON Web Token in it.
   * @param {string} text
   */
  signIn(text) {
    const token = text.replace(/^\s*(authorization:)?\s*(bearer\s+)*/i, "").replace(/\s/g, "");
    if (!TOKEN.test(token) || token.length > TOKEN_CHARS_MAX || !decodeClaims(token)) return false;
    this.#kept.value = token;
    return true;
  }

  /** Delete the stored token. */
  signOut() {
    this.#kept.value = null;
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
    return this.#kept.value !== null;
  }

  /** The player whom the stored token names; null for a spectator. @returns {Player | null} */
  get player() {
    const { userId, username = userId, role } = decodeClaims(this.#kept.value ?? "") ?? {};
    if (typeof userId !== "string" || role === "spectator") return null;
    return { userId, username: typeof username === "string" ? username : userId }; // no server has checked the claims
  }

  /** HTTP headers with the stored token. */
  get headers() {
    return { Authorization: `Bearer ${this.#kept.value}` };
  }

  /**
   * The stored token, or else a spectator token that is renewed in time. Rejects with TokenRequired if the server issues none, and
   * with RetryLater if it issues none now.
   * @returns {Promise<string>}
   */
  async token() {
    if (this.#kept.value) return this.#kept.value;
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

  /**
   * Sends a valid old token along, so that the new one names the same spectator: an open connection accepts no other.
   * @param {string | null} old
   */
  async #fetchSpectatorToken(old) {
    /** @type {Record<string, string>} */
    const headers = old ? { Authorization: `Bearer ${old}` } : {};
    const { status, retryAfter, body } = await fetchJson(this.#fetch, SPECTATOR_PATH, { method: "POST", headers });
    if (status === 404) throw new TokenRequired();
    const token = body?.data?.token;
    const claims = typeof token === "string" ? decodeClaims(token) : null;
    if (status !== 200 || claims === null) throw new RetryLater(`no spectator token: ${status}`, retryAfter);
    // The lifetime is the difference of two server times, so the viewer's clock may be wrong.
    const { iat, exp } = claims;
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
    const payload = (token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return claims !== null && typeof claims === "object" ? claims : null;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof DOMException) return null; // it is no JSON, or no Base64
    throw error;
  }
}
