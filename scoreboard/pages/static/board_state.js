/**
 * View model of the board: the newest state that the page received. It needs neither document nor clock, so time is an argument.
 *
 * @typedef {{ epoch: number, seq: number }} Cursor
 * @typedef {{ rank: number, userId: string, username: string, score: number, lastUpdated: string, avatar: string | null }} Row
 * @typedef {Cursor & { leaderboard: Row[], timestamp: string, total: number }} Snapshot
 * @typedef {Cursor & { userId: string, username: string, newScore: number, newRank: number | null, previousRank: number | null,
 *   timestamp: string }} ScoreChange
 * @typedef {{ userId: string, username: string, score: number, rank: number | null }} PlayerRank
 */

/**
 * @param {Cursor} a
 * @param {Cursor} b
 */
const isOlder = (a, b) => a.epoch < b.epoch || (a.epoch === b.epoch && a.seq < b.seq);

const NO_CURSOR = Object.freeze({ epoch: 0, seq: -1 });

export class BoardState {
  /** @type {Row[]} */
  rows = [];
  /** Players on the board; null before the first snapshot. @type {number | null} */
  total = null;
  /** When the board last changed, by the viewer's own clock. @type {number | null} */
  changedAtMs = null;
  /** The rank of the signed-in player; null for a spectator and before it is known. @type {PlayerRank | null} */
  ownRank = null;
  /** @type {string | null} */
  #ownUserId = null;
  /** @type {Cursor} */
  #cursor = NO_CURSOR;
  /** @type {Cursor} */
  #ownCursor = NO_CURSOR;

  /** The signed-in player; null for a spectator. @returns {string | null} */
  get ownUserId() {
    return this.#ownUserId;
  }

  /** The cursor of `ownRank`. A request for the own rank passes it to `setOwnRank` with the response. @returns {Cursor} */
  get ownCursor() {
    return this.#ownCursor;
  }

  /** @param {string | null} userId null for a spectator */
  setPlayer(userId) {
    if (userId === this.#ownUserId) return;
    this.#ownUserId = userId;
    this.#ownCursor = NO_CURSOR;
    this.ownRank = null;
    this.#updateOwnRank();
  }

  /** After a reconnect the first snapshot replaces the present state, whatever its cursor. */
  resetCursors() {
    this.#cursor = NO_CURSOR;
    this.#ownCursor = NO_CURSOR;
  }

  /**
   * Replace the top of the board; false if the snapshot is older than the present state.
   * @param {Snapshot} snapshot
   * @param {number} nowMs
   */
  applySnapshot(snapshot, nowMs) {
    if (isOlder(snapshot, this.#cursor)) return false;
    this.#cursor = { epoch: snapshot.epoch, seq: snapshot.seq };
    this.rows = snapshot.leaderboard;
    this.total = snapshot.total;
    // Both times are the server's, so the age is right even where the viewer's clock is wrong.
    const changes = this.rows.map((row) => Date.parse(row.lastUpdated)).filter(Number.isFinite);
    const ageMs = Date.parse(snapshot.timestamp) - Math.max(...changes);
    this.changedAtMs = Number.isFinite(ageMs) ? nowMs - Math.max(0, ageMs) : null;
    this.#updateOwnRank();
    return true;
  }

  /** Whether this cursor is the one of the present state. @param {Cursor} cursor */
  isAt({ epoch, seq }) {
    return epoch === this.#cursor.epoch && seq === this.#cursor.seq;
  }

  /**
   * Apply one player's new score below the top rows, unless it is older than the present state.
   * @param {ScoreChange} change
   * @param {number} nowMs
   */
  applyScoreChange(change, nowMs) {
    const { userId, username, newScore, newRank, previousRank } = change;
    if (userId === this.#ownUserId && !isOlder(change, this.#ownCursor)) {
      this.#storeOwnRank(change, { userId, username, score: newScore, rank: newRank });
    }
    if (!isOlder(this.#cursor, change)) return;
    if (this.total !== null) {
      const added = Number(newRank !== null) - Number(previousRank !== null);
      this.total = Math.max(this.total + added, newRank ?? 0);
    }
    this.changedAtMs = nowMs;
  }

  /**
   * Store the response to a request for the own rank, unless a newer event arrived since the request.
   * @param {Cursor} cursor `ownCursor` at the time of the request
   * @param {PlayerRank} playerRank
   */
  setOwnRank(cursor, { userId, username, score, rank }) {
    if (cursor === this.#ownCursor && userId === this.#ownUserId) this.ownRank = { userId, username, score, rank };
  }

  /** The share of players ranked below the own rank, in per cent to one decimal; null without a rank. @returns {number | null} */
  get percentile() {
    if (!this.ownRank?.rank || !this.total) return null;
    return Math.round((1000 * Math.max(0, this.total - this.ownRank.rank)) / this.total) / 10;
  }

  #updateOwnRank() {
    const row = this.rows.find(({ userId }) => userId === this.#ownUserId);
    if (row && !isOlder(this.#cursor, this.#ownCursor)) this.#storeOwnRank(this.#cursor, row);
  }

  /**
   * @param {Cursor} cursor
   * @param {PlayerRank} playerRank
   */
  #storeOwnRank({ epoch, seq }, { userId, username, score, rank }) {
    this.#ownCursor = { epoch, seq };
    this.ownRank = { userId, username, score, rank };
  }
}
