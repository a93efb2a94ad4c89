/**
 * Panel of the signed-in player's own rank. The board shows only ten rows, so the player's row is often not among them.
 *
 * @typedef {import("./board_state.js").BoardState} BoardState
 */

import { displayName, formatNumber } from "./formatters.js";

/** How long a milestone stays visible. */
const MILESTONE_MS = 12_000;

export class OwnRankPanel {
  #section;
  #rank;
  #name;
  #note;
  #milestone;
  #score;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {(id: string) => HTMLElement} byId */
  constructor(byId) {
    this.#section = byId("own-rank");
    this.#rank = byId("own-rank-number");
    this.#name = byId("own-rank-name");
    this.#note = byId("own-rank-note");
    this.#milestone = byId("own-rank-milestone");
    this.#score = byId("own-rank-score");
  }

  /** @param {BoardState} boardState */
  render({ ownRank, percentile }) {
    this.#section.hidden = ownRank === null;
    this.#section.parentElement?.classList.toggle("with-own-rank", ownRank !== null);
    if (ownRank === null) return;
    const { rank, username, userId, score } = ownRank;
    this.#rank.textContent = rank === null ? "–" : formatNumber(rank);
    this.#name.textContent = displayName(username, userId);
    this.#score.textContent = formatNumber(score);
    this.#note.textContent =
      rank === null ? "no score yet: the first completed action counts" : percentile === null ? "" : `ahead of ${percentile} %`;
  }

  /** Show a milestone for a while. @param {string} text */
  showMilestone(text) {
    clearTimeout(this.#timer);
    this.#milestone.textContent = text;
    this.#milestone.hidden = false;
    this.#timer = setTimeout(() => (this.#milestone.hidden = true), MILESTONE_MS);
  }
}
