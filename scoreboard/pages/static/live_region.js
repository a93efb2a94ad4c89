/**
 * The announcer's box: says politely, for those who listen instead of look, what changed on the board; the sum of it, and seldom.
 *
 * @typedef {import("./board_state.js").Row} Row
 */

import { displayName, figures } from "./formatters.js";

const INTERVAL_MIN_MS = 10_000;
const MOVES_MAX = 3;

export class Speech {
  #region;
  /** The order that was last spoken of. @type {Row[] | null} */
  #told = null;
  /** @type {Row[]} */
  #rows = [];
  #isWaiting = false;

  /** @param {HTMLElement} region a polite live region */
  constructor(region) {
    this.#region = region;
  }

  /** Say this now. @param {string} text */
  say(text) {
    this.#region.textContent = text;
  }

  /** The board reads so now; what is new in it is said when the last word is long enough ago. @param {Row[]} rows */
  follow(rows) {
    this.#rows = rows;
    if (this.#told === null) this.#told = rows;
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    setTimeout(() => this.#report(), INTERVAL_MIN_MS);
  }

  #report() {
    this.#isWaiting = false;
    const news = changes(this.#told ?? [], this.#rows);
    this.#told = this.#rows;
    if (news.length) this.say(news.join(" "));
  }
}

/**
 * In a few sentences: who leads now, who came in, who climbed.
 * @param {Row[]} before
 * @param {Row[]} after
 * @returns {string[]}
 */
export function changes(before, after) {
  const rankBefore = new Map(before.map(({ userId, rank }) => [userId, rank]));
  const risen = after.filter(({ userId, rank }) => rank < (rankBefore.get(userId) ?? Infinity));
  return risen.slice(0, MOVES_MAX).map((row) => {
    const name = displayName(row.username, row.userId);
    if (row.rank === 1) return `${name} leads with ${figures(row.score)} points.`;
    return rankBefore.has(row.userId) ? `${name} is up to rank ${row.rank}.` : `${name} enters at rank ${row.rank}.`;
  });
}
