/**
 * Reconnecting WebSocket client with exponential backoff and jitter (`retry_wait.js`).
 *
 * In the state `live` the page shows the present board; `delayed` means that the connection is open but the board may be out of date.
 *
 * @typedef {{ name: "connecting" } | { name: "live" } | { name: "delayed" } | { name: "offline", retryAtMs: number }
 *   | { name: "signed-out" }} ConnectionState
 */

import { RetryLater } from "./fetch_json.js";
import { retryWaitMs } from "./retry_wait.js";
import { ConnectionClosed, Refusal, SocketClient } from "./socket_client.js";
import { TokenRequired } from "./token_provider.js";

/** A heartbeat detects a dead connection, which otherwise looks like a quiet one. */
const HEARTBEAT_INTERVAL_MS = 30_000;
/**
 * The client requests a snapshot after about this time without news, because the server sends no events while a board may be out of
 * date. A snapshot costs the server half a millisecond, so 10,000 quiet pages use a fifth of a core.
 */
const QUIET_MS = 30_000;
/** `checkNow` replaces an attempt that got no answer for this long: the network may have returned only after it began. */
const SLOW_ATTEMPT_MS = 2_000;
/** A connection that lasted this long resets the count of failures. */
const STABLE_MS = 60_000;
/** After a close for a restart, clients reconnect spread over this time. */
const RESTART_SPREAD_MS = 4_000;

/** Close codes and error codes (docs/protocol-live.md). */
const SERVICE_RESTART = 1012;
/** 4000 as well: the token is all that the page's requests contain. */
const TOKEN_REJECTED = [4401, 4403, 4011, 4030, 4000];
const UNAVAILABLE = 5030;
const RATE_LIMITED = 4290;

export class ReconnectingClient {
  #url;
  #tokens;
  #now;
  #random;
  #onEvent;
  #onState;
  #onFault;
  /** @type {SocketClient | null} */
  #socket = null;
  /** The number of the present attempt; results of earlier attempts are ignored. */
  #attempt = 0;
  /** When the present attempt began. */
  #attemptAtMs = 0;
  /** Attempts that failed in a row. */
  #failures = 0;
  /** When the present connection became live. */
  #liveAtMs = 0;
  /** @type {"connecting" | "live" | "backoff"} */
  #phase = "connecting";
  /** Timer of the next heartbeat or attempt. @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** Timer of the next snapshot request. @type {ReturnType<typeof setTimeout> | undefined} */
  #snapshotTimer;
  #isDelayed = false;

  /**
   * @param {{
   *   url: string, tokens: import("./token_provider.js").TokenProvider, now: () => number, random: () => number,
   *   onEvent: (event: string, data: any) => void, onState: (state: ConnectionState) => void, onFault: (error: unknown) => void,
   * }} options `onFault` gets what is neither the server's nor the network's failure
   */
  constructor({ url, tokens, now, random, onEvent, onState, onFault }) {
    this.#url = url;
    this.#tokens = tokens;
    this.#now = now;
    this.#random = random;
    this.#onEvent = onEvent;
    this.#onState = onState;
    this.#onFault = onFault;
  }

  /** Replace any present connection with a new one that uses the present token. */
  async open() {
    const attempt = this.#reset("connecting");
    this.#attemptAtMs = this.#now();
    this.#onState({ name: "connecting" });
    try {
      const token = await this.#tokens.token();
      if (attempt !== this.#attempt) return;
      const socket = new SocketClient(this.#url, {
        onEvent: (event, message) => this.#receive(attempt, event, message),
        onClose: (error) => this.#fail(attempt, error),
      });
      this.#socket = socket;
      await socket.opened;
      await socket.request("auth", { token });
      await socket.request("join:leaderboard");
      if (attempt !== this.#attempt) return;
      this.#phase = "live";
      this.#liveAtMs = this.#now();
      this.#onState({ name: this.#isDelayed ? "delayed" : "live" });
      this.#scheduleHeartbeat(attempt);
      this.#scheduleSnapshot(attempt);
    } catch (error) {
      this.#fail(attempt, error);
    }
  }

  /** The viewer asks for it, or the network or the page's visibility changed: connect, or check the connection, at once. */
  checkNow() {
    if (this.#phase === "live") {
      void this.#heartbeat(this.#attempt);
      void this.#requestSnapshot(this.#attempt);
    } else if (this.#phase === "backoff" || this.#now() - this.#attemptAtMs > SLOW_ATTEMPT_MS) {
      this.#failures = 0;
      void this.open();
    }
  }

  /**
   * An event of the board without `degraded` proves that the board is up to date.
   * @param {number} attempt
   * @param {string} event
   * @param {any} message
   */
  #receive(attempt, event, message) {
    this.#onEvent(event, message);
    if (event === "leaderboard:update" || event === "score:update") {
      this.#setDelayed(message.data.degraded === true);
      this.#scheduleSnapshot(attempt);
    }
  }

  /** @param {boolean} isDelayed */
  #setDelayed(isDelayed) {
    const isNew = isDelayed !== this.#isDelayed;
    this.#isDelayed = isDelayed;
    if (isNew && this.#phase === "live") this.#onState({ name: isDelayed ? "delayed" : "live" });
  }

  /** @param {number} attempt */
  #scheduleSnapshot(attempt) {
    if (attempt !== this.#attempt || this.#phase !== "live") return;
    clearTimeout(this.#snapshotTimer);
    this.#snapshotTimer = setTimeout(() => this.#requestSnapshot(attempt), QUIET_MS * (0.8 + 0.4 * this.#random()));
  }

  /**
   * Join again: the server responds with a snapshot, marked `degraded` if it may be out of date.
   * @param {number} attempt
   */
  async #requestSnapshot(attempt) {
    clearTimeout(this.#snapshotTimer);
    try {
      await this.#socket?.request("join:leaderboard");
    } catch (error) {
      const code = error instanceof Refusal ? error.code : 0;
      if (code !== UNAVAILABLE && code !== RATE_LIMITED) this.#fail(attempt, error);
      else if (attempt === this.#attempt && code === UNAVAILABLE) this.#setDelayed(true);
    }
    this.#scheduleSnapshot(attempt);
  }

  /** @param {number} attempt */
  #scheduleHeartbeat(attempt) {
    if (attempt !== this.#attempt) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#heartbeat(attempt), HEARTBEAT_INTERVAL_MS);
  }

  /**
   * Send `auth` again: it checks the connection, and gives the server the new token before the old one expires.
   * @param {number} attempt
   */
  async #heartbeat(attempt) {
    clearTimeout(this.#timer);
    try {
      const token = await this.#tokens.token();
      if (attempt !== this.#attempt) return;
      await this.#socket?.request("auth", { token });
      this.#scheduleHeartbeat(attempt);
    } catch (error) {
      this.#fail(attempt, error);
    }
  }

  /**
   * @param {number} attempt
   * @param {unknown} error
   */
  #fail(attempt, error) {
    if (attempt !== this.#attempt) return;
    const wasLive = this.#phase === "live";
    if (wasLive && this.#now() - this.#liveAtMs >= STABLE_MS) this.#failures = 0;
    this.#reset("backoff");
    if (error instanceof TokenRequired) {
      this.#onState({ name: "signed-out" });
      return;
    }
    const isRejected = (error instanceof ConnectionClosed || error instanceof Refusal) && TOKEN_REJECTED.includes(error.code);
    if (error instanceof TypeError || error instanceof ReferenceError) this.#onFault(error);
    const hasOtherToken = isRejected && (this.#tokens.discard() || wasLive);
    const waitMs = hasOtherToken && this.#failures === 0 ? 0 : this.#waitMs(error);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.open(), waitMs);
    this.#onState(waitMs ? { name: "offline", retryAtMs: this.#now() + waitMs } : { name: "connecting" });
  }

  /**
   * The wait before the next attempt, in milliseconds.
   * @param {unknown} error why the last one failed
   */
  #waitMs(error) {
    return retryWaitMs({
      failures: this.#failures,
      retryAfter: error instanceof RetryLater || error instanceof Refusal ? error.retryAfter : null,
      spreadMs: error instanceof ConnectionClosed && error.code === SERVICE_RESTART ? RESTART_SPREAD_MS : 0,
      nowMs: this.#now(),
      random: this.#random(),
    });
  }

  /**
   * Cancel the present attempt, its timers and its socket; returns the number of the next attempt.
   * @param {"connecting" | "backoff"} phase
   */
  #reset(phase) {
    clearTimeout(this.#timer);
    clearTimeout(this.#snapshotTimer);
    this.#attempt += 1;
    this.#phase = phase;
    this.#isDelayed = false;
    this.#socket?.close();
    this.#socket = null;
    return this.#attempt;
  }
}
