/**
 * The viewer's own seat: where the player stands as whom one watches, in the top ten or far below.
 *
 * @typedef {import("./board_state.js").Scene} Scene
 */

import { displayName, figures } from "./formatters.js";

/** How long an achievement stays in sight. */
const PRAISE_MS = 12_000;

export class OwnPlace {
  #section;
  #rank;
  #name;
  #note;
  #praise;
  #score;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #fading;

  /** @param {(id: string) => HTMLElement} find */
  constructor(find) {
    this.#section = find("own-rank");
    this.#rank = find("own-rank-number");
    this.#name = find("own-rank-name");
    this.#note = find("own-rank-note");
    this.#praise = find("own-rank-milestone");
    this.#score = find("own-rank-score");
  }

  /** @param {Scene} scene */
  draw({ own, percentile }) {
    this.#section.hidden = own === null;
    if (own === null) return;
    this.#rank.textContent = own.rank === null ? "–" : figures(own.rank);
    this.#name.textContent = displayName(own.username, own.userId);
    this.#score.textContent = figures(own.score);
    this.#note.textContent =
      own.rank === null ? "no score yet: the first completed action counts" : percentile === null ? "" : `ahead of ${percentile} %`;
  }

  /** Show for a while what the player achieved. @param {string} words */
  praise(words) {
    clearTimeout(this.#fading);
    this.#praise.textContent = words;
    this.#praise.hidden = false;
    this.#fading = setTimeout(() => (this.#praise.hidden = true), PRAISE_MS);
  }
}
