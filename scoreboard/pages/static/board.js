/**
 * Leaderboard table with keyed rows: it reuses a player's row between renders, so that the row can be animated. All names are set as
 * text, because they are untrusted.
 *
 * @typedef {import("./board_state.js").Row} Row
 */

import { animateReorder } from "./flip_animation.js";
import { avatarHue, displayName, formatDifference, formatNumber, initials, sameOriginAvatar } from "./formatters.js";
import { createUserText } from "./user_text.js";

/** A score with more characters than this gets a smaller font on a narrow screen. */
const SCORE_LENGTH_MAX = 11;
/** How long a changed row stays highlighted. */
const HIGHLIGHT_MS = 2200;

export class Board {
  #tbody;
  #isMotionReduced;
  #onFault;
  /** @type {Map<string, PlayerRow>} */
  #rows = new Map();
  /** The faults of rows in this render. @type {unknown[]} */
  #faults = [];

  /**
   * @param {HTMLElement} tbody the parent of the rows
   * @param {() => boolean} isMotionReduced whether the viewer prefers reduced motion
   * @param {(error: unknown) => void} onFault gets the fault of a row; the other rows are shown
   */
  constructor(tbody, isMotionReduced, onFault) {
    this.#tbody = tbody;
    this.#isMotionReduced = isMotionReduced;
    this.#onFault = onFault;
  }

  /**
   * Show these rows, and animate the differences from the last render. Throws only if no row can be shown.
   * @param {Row[]} rows best first
   * @param {string | null} ownUserId the signed-in player
   */
  render(rows, ownUserId) {
    const shown = [...this.#rows.keys()];
    const isSameOrder = rows.length === shown.length && rows.every(({ userId }, index) => userId === shown[index]);
    this.#faults = [];
    if (isSameOrder) this.#updateRows(rows, ownUserId);
    else animateReorder(this.#tbody, this.#isMotionReduced(), () => this.#reorder(rows, ownUserId));
    if (rows.length && this.#faults.length === rows.length) throw this.#faults[0];
    this.#faults.forEach(this.#onFault);
  }

  /**
   * @param {Row[]} rows
   * @param {string | null} ownUserId
   */
  #reorder(rows, ownUserId) {
    /** @type {Map<string, PlayerRow>} */
    const kept = new Map();
    for (const { userId } of rows) this.#attempt(() => kept.set(userId, this.#rows.get(userId) ?? new PlayerRow(userId)));
    for (const [userId, row] of this.#rows) if (!kept.has(userId)) row.element.remove();
    this.#rows = kept;
    [...kept.values()].forEach((row, index) => {
      const present = this.#tbody.children[index];
      if (present !== row.element) this.#tbody.insertBefore(row.element, present ?? null);
    });
    this.#updateRows(rows, ownUserId);
  }

  /**
   * @param {Row[]} rows
   * @param {string | null} ownUserId
   */
  #updateRows(rows, ownUserId) {
    const best = Math.max(1, ...rows.map(({ score }) => Number(score) || 0));
    for (const row of rows) {
      const share = Math.min(1, Math.max(0, row.score / best));
      this.#attempt(() => this.#rows.get(row.userId)?.update(row, share, row.userId === ownUserId));
    }
  }

  /** A fault in one row costs this row alone. @param {() => void} work */
  #attempt(work) {
    try {
      work();
    } catch (error) {
      this.#faults.push(error);
    }
  }
}

class PlayerRow {
  #rank = createElement("span", "rank-number");
  #rankChange = createElement("span", "rank-change");
  #avatar = createElement("span", "avatar");
  #name = createUserText("name");
  #you = createElement("span", "badge");
  #points = createElement("span", "points");
  #scoreChange = createElement("span", "score-change");
  /** The present data. @type {Row | null} */
  #row = null;
  /** The data before the present highlight began; null without a highlight. @type {Row | null} */
  #baseline = null;

  /** @param {string} userId */
  constructor(userId) {
    this.element = createElement("tr", "row");
    this.element.setAttribute("role", "row");
    this.element.style.setProperty("--hue", String(avatarHue(userId)));
    this.#avatar.setAttribute("translate", "no");
    for (const decoration of [this.#rankChange, this.#avatar, this.#scoreChange]) decoration.setAttribute("aria-hidden", "true");
    this.#you.textContent = "You";
    this.element.append(
      createCell("td", "cell", "rank", this.#rank, this.#rankChange),
      createCell("th", "rowheader", "player", this.#avatar, this.#name, this.#you),
      createCell("td", "cell", "score", this.#scoreChange, this.#points),
    );
  }

  /**
   * @param {Row} row
   * @param {number} share of the leader's score, 0 to 1
   * @param {boolean} isOwn
   */
  update(row, share, isOwn) {
    const before = this.#row;
    this.#row = row;
    this.element.style.setProperty("--share", share.toFixed(4));
    this.element.classList.toggle("own", isOwn);
    this.#you.hidden = !isOwn;
    this.#rank.textContent = String(row.rank);
    this.#points.textContent = formatNumber(row.score);
    this.element.classList.toggle("long-score", this.#points.textContent.length > SCORE_LENGTH_MAX);
    if (before?.username !== row.username || before.avatar !== row.avatar) this.#updatePlayer(row);
    if (before && (before.score !== row.score || before.rank !== row.rank)) this.#highlight(before, row);
  }

  /** @param {Row} row */
  #updatePlayer(row) {
    const name = displayName(row.username, row.userId);
    this.#name.textContent = name;
    this.#name.title = name;
    this.#avatar.textContent = initials(name);
    const url = sameOriginAvatar(row.avatar, location.origin);
    if (!url) return;
    const image = new Image();
    image.alt = "";
    image.src = url;
    // The initials stay until the image has loaded, and remain if it fails to load.
    image.onload = () => this.#row?.avatar === row.avatar && this.#avatar.replaceChildren(image);
  }

  /**
   * Show for a while the differences in score and rank since the highlight began.
   * @param {Row} before
   * @param {Row} row
   */
  #highlight(before, row) {
    if (!this.#baseline) {
      this.#baseline = before;
      setTimeout(() => this.#endHighlight(), HIGHLIGHT_MS);
    }
    const scoreChange = row.score - this.#baseline.score;
    const rankChange = this.#baseline.rank - row.rank;
    this.#scoreChange.textContent = scoreChange ? formatDifference(scoreChange) : "";
    this.#rankChange.textContent = rankChange ? `${rankChange > 0 ? "▲" : "▼"} ${Math.abs(rankChange)}` : "";
    this.element.classList.toggle("changed", scoreChange !== 0);
    this.element.classList.toggle("rank-up", rankChange > 0);
    this.element.classList.toggle("rank-down", rankChange < 0);
  }

  #endHighlight() {
    this.#baseline = null;
    this.element.classList.remove("changed", "rank-up", "rank-down");
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} className
 */
function createElement(tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}

/**
 * A cell with an explicit role, because the CSS grid layout removes the implicit one.
 * @param {"td" | "th"} tag
 * @param {"cell" | "rowheader"} role
 * @param {string} className
 * @param {...Node} content
 */
function createCell(tag, role, className, ...content) {
  const element = createElement(tag, className);
  element.setAttribute("role", role);
  element.append(...content);
  return element;
}
