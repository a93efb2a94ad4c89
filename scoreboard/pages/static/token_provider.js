/**
 * The cloakroom: which token we show at the door. A player's token lives in this tab's sessionStorage and nowhere else; without one
 * the server lends us a spectator's. What a token says of itself is read only to know whom to show; the server alone judges it.
 *
 * @typedef {{ userId: string, username: string }} Player
 */

const STORAGE_KEY = "scoreboard.token";
const SPECTATOR_PATH = "/api/v1/auth/spectator";
/** A lent token this close to its end is changed for a fresh one: three probes of the line, should a hidden tab's timers be slow. */
const RENEW_EARLY_MS = 90_000;
const BORROW_WAIT_MAX_MS = 10_000;

/** The server lends no spectator's token: one must be given. */
export class TokenNeeded extends Error {}

/** The server lends none now; `waitMs` is how long it asks us to wait. */
export class NotNow extends Error {
  /** @param {Response} response */
  constructor(response) {
    super(`no spectator's token: ${response.status}`);
    this.waitMs = Number(response.headers.get("Retry-After") ?? 0) * 1000;
  }
}

export class Session {
  #storage;
  #fetch;
  #now;
  /** @type {{ token: string, endsAtMs: number } | null} */
  #lent = null;

  /**
   * @param {{ storage: Storage, fetch: typeof globalThis.fetch, now: () => number }} world
   */
  constructor({ storage, fetch, now }) {
    this.#storage = storage;
    this.#fetch = fetch;
    this.#now = now;
  }

  /**
   * Take a token out of the address (`#token=…`), where it would be seen, into this tab's storage.
   * @param {Location} location
   * @param {History} history
   */
  takeFragment(location, history) {
    const token = new URLSearchParams(location.hash.slice(1)).get("token");
    if (token === null) return;
    history.replaceState(null, "", location.pathname + location.search);
    this.use(token);
  }

  /** Show this token from now on; false, and nothing changes, if it cannot be one. @param {string} token */
  use(token) {
    if (!claimsOf(token)) return false;
    this.#storage.setItem(STORAGE_KEY, token);
    return true;
  }

  /** Forget the token that was given. */
  leave() {
    this.#storage.removeItem(STORAGE_KEY);
  }

  /** The server no longer takes the token we showed: it is not shown again. True if it was one that was given. */
  refused() {
    const wasGiven = this.isGiven;
    this.leave();
    this.#lent = null;
    return wasGiven;
  }

  /** Whether the token we show was given by the viewer. */
  get isGiven() {
    return this.#given !== null;
  }

  /** As whom we watch; null as a spectator. @returns {Player | null} */
  get player() {
    const { userId, username = userId, role } = claimsOf(this.#given ?? "") ?? {};
    return typeof userId === "string" && role !== "spectator" ? { userId, username: String(username) } : null;
  }

  /** What shows the given token to the HTTP doors. */
  get headers() {
    return { Authorization: `Bearer ${this.#given}` };
  }

  /**
   * A token to show: the one that was given, or a lent one with some life left. Rejects with TokenNeeded if there is none to be had.
   * @returns {Promise<string>}
   */
  async token() {
    if (this.#given) return this.#given;
    const old = this.#lent;
    const leftMs = old ? old.endsAtMs - this.#now() : 0;
    if (old && leftMs > RENEW_EARLY_MS) return old.token;
    try {
      this.#lent = await this.#borrow(old && leftMs > 0 ? old.token : null);
      return this.#lent.token;
    } catch (error) {
      if (old && leftMs > 0) return old.token;
      throw error;
    }
  }

  /** @returns {string | null} */
  get #given() {
    return this.#storage.getItem(STORAGE_KEY);
  }

  /**
   * Shows the old token, while it lives, so that the fresh one is the same spectator's: an open line takes no other's.
   * @param {string | null} old
   */
  async #borrow(old) {
    const headers = new Headers(old ? { Authorization: `Bearer ${old}` } : {});
    const response = await this.#fetch(SPECTATOR_PATH, { method: "POST", headers, signal: AbortSignal.timeout(BORROW_WAIT_MAX_MS) });
    if (response.status === 404) throw new TokenNeeded();
    if (!response.ok) throw new NotNow(response);
    const { token } = (await response.json()).data;
    // Its whole life by its own two times, so that the viewer's clock may be wrong.
    const { iat, exp } = claimsOf(token) ?? {};
    return { token, endsAtMs: this.#now() + (exp - iat) * 1000 };
  }
}

/**
 * What a JSON Web Token says of itself, unproved; null if it says nothing that can be read.
 * @param {string} token
 * @returns {Record<string, any> | null}
 */
function claimsOf(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(payload), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return claims !== null && typeof claims === "object" ? claims : null;
  } catch {
    return null;
  }
}
