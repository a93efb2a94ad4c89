/**
 * The model room: what the board says now, and nothing older. No document, no clock: the time is an argument.
 *
 * @typedef {{ epoch: number, seq: number }} Cursor which state of the board a piece of news tells of
 * @typedef {{ rank: number, userId: string, username: string, score: number, lastUpdated: string, avatar: string | null }} Row
 * @typedef {Cursor & { leaderboard: Row[], timestamp: string, total: number }} Refresh
 * @typedef {Cursor & { userId: string, username: string, newScore: number, newRank: number | null, previousRank: number | null,
 *   timestamp: string }} Change
 * @typedef {{ userId: string, username: string, score: number, rank: number | null }} Place
 */

/**
 * @param {Cursor} a
 * @param {Cursor} b
 */
const isOlder = (a, b) => a.epoch < b.epoch || (a.epoch === b.epoch && a.seq < b.seq);

const NOWHERE = Object.freeze({ epoch: 0, seq: -1 });

export class Scene {
  /** @type {Row[]} */
  rows = [];
  /** Players on the board; null until the board is known. @type {number | null} */
  total = null;
  /** When the board last changed, by the viewer's own clock. @type {number | null} */
  changedAtMs = null;
  /** Where the player stands as whom one watches; null for a spectator or before it is known. @type {Place | null} */
  own = null;
  /** @type {string | null} */
  #ownUserId = null;
  /** @type {Cursor} */
  #cursor = NOWHERE;
  /** @type {Cursor} */
  #ownCursor = NOWHERE;

  /** Whose row is ours. @returns {string | null} */
  get ownUserId() {
    return this.#ownUserId;
  }

  /** Watch as this player, or as nobody. @param {string | null} userId */
  watchAs(userId) {
    if (userId === this.#ownUserId) return;
    this.#ownUserId = userId;
    this.#ownCursor = NOWHERE;
    this.own = null;
    this.#ownFromRows();
  }

  /** The line is a new one: its first board is the truth, whatever was shown before. */
  startOver() {
    this.#cursor = NOWHERE;
    this.#ownCursor = NOWHERE;
  }

  /**
   * A whole new top of the board; false if it is older than what is shown.
   * @param {Refresh} news
   * @param {number} nowMs
   */
  refresh(news, nowMs) {
    if (isOlder(news, this.#cursor)) return false;
    this.#cursor = { epoch: news.epoch, seq: news.seq };
    this.rows = news.leaderboard;
    this.total = news.total;
    // Both times are the server's, so the age is right even where the viewer's clock is wrong.
    const ageMs = Date.parse(news.timestamp) - Math.max(...this.rows.map((row) => Date.parse(row.lastUpdated)));
    this.changedAtMs = Number.isFinite(ageMs) ? nowMs - Math.max(0, ageMs) : null;
    this.#ownFromRows();
    return true;
  }

  /** Whether news tells of the very state of the board that is shown. @param {Cursor} news */
  isAt({ epoch, seq }) {
    return epoch === this.#cursor.epoch && seq === this.#cursor.seq;
  }

  /**
   * One player's new score, below the top that is shown; false if it is older than what is shown.
   * @param {Change} news
   * @param {number} nowMs
   */
  change(news, nowMs) {
    const isOwn = news.userId === this.#ownUserId && !isOlder(news, this.#ownCursor);
    if (isOwn) this.#place(news, { userId: news.userId, username: news.username, score: news.newScore, rank: news.newRank });
    if (!isOlder(this.#cursor, news)) return isOwn;
    if (this.total !== null) {
      const more = Number(news.newRank !== null) - Number(news.previousRank !== null);
      this.total = Math.max(this.total + more, news.newRank ?? 0);
    }
    this.changedAtMs = nowMs;
    return true;
  }

  /** How our own place is known now; hand it to `answer` with what was asked since. @returns {Cursor} */
  ask() {
    return this.#ownCursor;
  }

  /**
   * The server's answer to where we stand, unless something newer was heard while it was on its way.
   * @param {Cursor} asked what `ask` returned
   * @param {Place} place
   */
  answer(asked, place) {
    if (asked !== this.#ownCursor || place.userId !== this.#ownUserId) return;
    const { userId, username, score, rank } = place;
    this.own = { userId, username, score, rank };
  }

  /** The share of players ranked below us, in per cent to one decimal; null without a rank. @returns {number | null} */
  get percentile() {
    if (!this.own?.rank || !this.total) return null;
    return Math.round((1000 * Math.max(0, this.total - this.own.rank)) / this.total) / 10;
  }

  #ownFromRows() {
    const row = this.rows.find(({ userId }) => userId === this.#ownUserId);
    if (row && !isOlder(this.#cursor, this.#ownCursor)) this.#place(this.#cursor, row);
  }

  /**
   * @param {Cursor} cursor
   * @param {Place} place
   */
  #place({ epoch, seq }, { userId, username, score, rank }) {
    this.#ownCursor = { epoch, seq };
    this.own = { userId, username, score, rank };
  }
}
