/**
 * The switchboard: keeps one line to the server standing. It waits between attempts, never twice the same time, so that a thousand
 * screens do not come back at once.
 *
 * Live means that the board is shown as it is now; delayed that the line stands and the server says that the board may be out of date.
 *
 * @typedef {{ name: "connecting" } | { name: "live" } | { name: "delayed" } | { name: "offline", retryAtMs: number }
 *   | { name: "signed-out" }} LineState
 */

import { Fallen, Line, Refused } from "./socket_client.js";
import { NotNow, TokenNeeded } from "./token_provider.js";

/** A silent line is asked whether it still stands, for a dead one looks the same. */
const PROBE_INTERVAL_MS = 30_000;
/**
 * A board of which nothing was heard for about so long is asked for again: a board that may be out of date sends no news. An answer
 * costs the server half a millisecond: 10,000 quiet pages, a fifth of a core.
 */
const QUIET_MS = 30_000;
/** The first wait is about 1 s, each further one about twice as long, up to 30 s; always half of it more or less, by chance. */
const RETRY_MS = 1_000;
const RETRY_MAX_MS = 20_000;
/** A line that stood this long ends a row of failures. */
const STEADY_MS = 60_000;
/** When the server says that it restarts, everybody comes back spread over this time. */
const RESTART_SPREAD_MS = 4_000;

/** Close codes and codes of errors (docs/protocol-live.md): the server comes back soon; the token is not taken, or no longer. */
const RESTARTING = 1012;
const TOKEN_REFUSED = [4401, 4403, 4011, 4030];
const NOT_READABLE = 5030;
const JOINING = 4290;

export class Connection {
  #url;
  #session;
  #now;
  #random;
  #hear;
  #show;
  /** @type {Line | null} */
  #line = null;
  /** Which attempt is the present one; what an earlier one still has to say is moot. */
  #attempt = 0;
  /** Attempts that failed in a row. */
  #failures = 0;
  /** When the present line began to stand. */
  #liveAtMs = 0;
  /** @type {"trying" | "live" | "waiting"} */
  #phase = "trying";
  /** The next thing to do by the clock: probe or retry. @type {ReturnType<typeof setTimeout> | undefined} */
  #next;
  /** When the board is asked for again. @type {ReturnType<typeof setTimeout> | undefined} */
  #nextBoard;
  #isDelayed = false;

  /**
   * @param {{
   *   url: string, session: import("./token_provider.js").Session, now: () => number, random: () => number,
   *   hear: (event: string, data: any) => void, show: (state: LineState) => void,
   * }} parts
   */
  constructor({ url, session, now, random, hear, show }) {
    this.#url = url;
    this.#session = session;
    this.#now = now;
    this.#random = random;
    this.#hear = hear;
    this.#show = show;
  }

  /** Connect now with the session's present token, whatever was before. */
  async open() {
    const attempt = this.#begin("trying");
    this.#show({ name: "connecting" });
    try {
      const token = await this.#session.token();
      if (attempt !== this.#attempt) return;
      const line = new Line(this.#url, {
        hear: (event, message) => this.#heard(attempt, event, message),
        fall: (error) => this.#failed(attempt, error),
      });
      this.#line = line;
      await line.opened;
      await line.ask("auth", { token });
      await line.ask("join:leaderboard");
      if (attempt !== this.#attempt) return;
      this.#phase = "live";
      this.#liveAtMs = this.#now();
      this.#show({ name: this.#isDelayed ? "delayed" : "live" });
      this.#probeLater(attempt);
      this.#askBoardLater(attempt);
    } catch (error) {
      this.#failed(attempt, error);
    }
  }

  /** Something changed for the viewer (network, visibility): do now what would be done later. */
  nudge() {
    if (this.#phase === "waiting") void this.open();
    else if (this.#phase === "live") {
      void this.#probe(this.#attempt);
      void this.#askBoard(this.#attempt);
    }
  }

  /**
   * News. What comes of the board is the board as it is now, unless it is marked `degraded`.
   * @param {number} attempt
   * @param {string} event
   * @param {any} message
   */
  #heard(attempt, event, message) {
    this.#hear(event, message);
    if (event === "leaderboard:update" || event === "score:update") {
      this.#setDelayed(message.data.degraded === true);
      this.#askBoardLater(attempt);
    }
  }

  /** @param {boolean} isDelayed */
  #setDelayed(isDelayed) {
    const isNew = isDelayed !== this.#isDelayed;
    this.#isDelayed = isDelayed;
    if (isNew && this.#phase === "live") this.#show({ name: isDelayed ? "delayed" : "live" });
  }

  /** @param {number} attempt */
  #askBoardLater(attempt) {
    if (attempt !== this.#attempt || this.#phase !== "live") return;
    clearTimeout(this.#nextBoard);
    this.#nextBoard = setTimeout(() => this.#askBoard(attempt), QUIET_MS * (0.8 + 0.4 * this.#random()));
  }

  /**
   * Join again: the server answers with the board, and with whether that may be out of date.
   * @param {number} attempt
   */
  async #askBoard(attempt) {
    clearTimeout(this.#nextBoard);
    try {
      await this.#line?.ask("join:leaderboard");
    } catch (error) {
      const code = error instanceof Refused ? error.code : 0;
      if (code !== NOT_READABLE && code !== JOINING) this.#failed(attempt, error);
      else if (attempt === this.#attempt && code === NOT_READABLE) this.#setDelayed(true);
    }
    this.#askBoardLater(attempt);
  }

  /** @param {number} attempt */
  #probeLater(attempt) {
    if (attempt !== this.#attempt) return;
    clearTimeout(this.#next);
    this.#next = setTimeout(() => this.#probe(attempt), PROBE_INTERVAL_MS);
  }

  /**
   * Show the token again: proves that the line stands, and gives the server the fresh token before the old one ends.
   * @param {number} attempt
   */
  async #probe(attempt) {
    clearTimeout(this.#next);
    try {
      const token = await this.#session.token();
      if (attempt !== this.#attempt) return;
      await this.#line?.ask("auth", { token });
      this.#probeLater(attempt);
    } catch (error) {
      this.#failed(attempt, error);
    }
  }

  /**
   * @param {number} attempt
   * @param {unknown} error
   */
  #failed(attempt, error) {
    if (attempt !== this.#attempt) return;
    const wasLive = this.#phase === "live";
    if (wasLive && this.#now() - this.#liveAtMs >= STEADY_MS) this.#failures = 0;
    this.#begin("waiting");
    if (error instanceof TokenNeeded) {
      this.#show({ name: "signed-out" });
      return;
    }
    const isTokenRefused = (error instanceof Fallen || error instanceof Refused) && TOKEN_REFUSED.includes(error.code);
    const hasAnother = isTokenRefused && (this.#session.refused() || wasLive);
    const waitMs = hasAnother && this.#failures === 0 ? 0 : this.#waitAfter(error);
    this.#failures += 1;
    this.#next = setTimeout(() => this.open(), waitMs);
    this.#show(waitMs ? { name: "offline", retryAtMs: this.#now() + waitMs } : { name: "connecting" });
  }

  /**
   * How long to wait before the next attempt, in milliseconds.
   * @param {unknown} error why the last one failed
   */
  #waitAfter(error) {
    if (error instanceof Fallen && error.code === RESTARTING) return RETRY_MS + this.#random() * RESTART_SPREAD_MS;
    const waitMs = Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** this.#failures) * (0.5 + this.#random());
    return error instanceof NotNow ? Math.max(error.waitMs, waitMs) : waitMs;
  }

  /**
   * Begin another attempt, or the wait for it: whatever was under way is over.
   * @param {"trying" | "waiting"} phase
   */
  #begin(phase) {
    clearTimeout(this.#next);
    clearTimeout(this.#nextBoard);
    this.#attempt += 1;
    this.#phase = phase;
    this.#isDelayed = false;
    this.#line?.hangUp();
    this.#line = null;
    return this.#attempt;
  }
}
