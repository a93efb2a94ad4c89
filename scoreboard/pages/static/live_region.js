/**
 * ARIA live region: announces changes of the board to screen readers. It summarizes them at intervals, so that a busy board does not
 * interrupt the reader all the time.
 *
 * @typedef {import("./board_state.js").Row} Row
 */

import { displayName, formatNumber } from "./formatters.js";
import { createUserText } from "./user_text.js";

const INTERVAL_MIN_MS = 10_000;
const CHANGES_MAX = 3;

export class LiveRegion {
  #element;
  /** The rows at the last announcement. @type {Row[] | null} */
  #announcedRows = null;
  /** @type {Row[]} */
  #rows = [];
  #isScheduled = false;

  /** @param {HTMLElement} element a polite live region */
  constructor(element) {
    this.#element = element;
  }

  /** @param {...(string | Node)} content */
  announce(...content) {
    this.#element.replaceChildren(...content);
  }

  /** Announce the changes in these rows when the minimum interval is over. @param {Row[]} rows */
  update(rows) {
    this.#rows = rows;
    if (this.#announcedRows === null) this.#announcedRows = rows;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setTimeout(() => this.#announceChanges(), INTERVAL_MIN_MS);
  }

  #announceChanges() {
    this.#isScheduled = false;
    const changes = describeChanges(this.#announcedRows ?? [], this.#rows);
    this.#announcedRows = this.#rows;
    if (changes.length) this.announce(...changes.flatMap(({ name, text }) => [createUserText("", name), ` ${text} `]));
  }
}

/**
 * Sentences about the players who lead, entered or rose, the highest first: the player's name, and the rest of the sentence.
 * @param {Row[]} before
 * @param {Row[]} after
 * @returns {{ name: string, text: string }[]}
 */
export function describeChanges(before, after) {
  const rankBefore = new Map(before.map(({ userId, rank }) => [userId, rank]));
  const risen = after.filter(({ userId, rank }) => rank < (rankBefore.get(userId) ?? Infinity));
  return risen.slice(0, CHANGES_MAX).map((row) => {
    const name = displayName(row.username, row.userId);
    if (row.rank === 1) return { name, text: `leads with ${formatNumber(row.score)} points.` };
    return { name, text: `${rankBefore.has(row.userId) ? "is up to" : "enters at"} rank ${row.rank}.` };
  });
}
