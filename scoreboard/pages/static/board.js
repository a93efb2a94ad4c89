/**
 * The board: one row a player, kept between draws so that a row can be seen to move. All text from outside goes in as text.
 *
 * @typedef {import("./board_state.js").Row} Row
 */

import { displayName, figures, gain, hueOf, initials, ownImage } from "./formatters.js";
import { glide } from "./flip_animation.js";

/** A score of more signs than this is written small where there is little room. */
const FIGURES_LONG = 11;
/** How long a row shows that it changed. */
const FRESH_MS = 2200;

export class Board {
  #stage;
  #isCalm;
  /** @type {Map<string, PlayerRow>} */
  #rows = new Map();

  /**
   * @param {HTMLElement} stage the element that holds the rows
   * @param {() => boolean} isCalm whether the viewer asked for less motion
   */
  constructor(stage, isCalm) {
    this.#stage = stage;
    this.#isCalm = isCalm;
  }

  /**
   * Show these rows, best first; what differs from before is seen to differ.
   * @param {Row[]} rows
   * @param {string | null} ownUserId whose row is the viewer's own
   */
  draw(rows, ownUserId) {
    const shown = [...this.#rows.keys()];
    const isSameOrder = rows.length === shown.length && rows.every(({ userId }, index) => userId === shown[index]);
    if (isSameOrder) this.#fill(rows, ownUserId);
    else glide(this.#stage, this.#isCalm(), () => this.#arrange(rows, ownUserId));
  }

  /**
   * @param {Row[]} rows
   * @param {string | null} ownUserId
   */
  #arrange(rows, ownUserId) {
    const kept = new Map(rows.map(({ userId }) => [userId, this.#rows.get(userId) ?? new PlayerRow(userId)]));
    for (const [userId, row] of this.#rows) if (!kept.has(userId)) row.element.remove();
    this.#rows = kept;
    [...kept.values()].forEach((row, index) => {
      const standing = this.#stage.children[index];
      if (standing !== row.element) this.#stage.insertBefore(row.element, standing ?? null);
    });
    this.#fill(rows, ownUserId);
  }

  /**
   * @param {Row[]} rows
   * @param {string | null} ownUserId
   */
  #fill(rows, ownUserId) {
    const best = Math.max(1, rows[0]?.score ?? 0);
    for (const row of rows) {
      this.#rows.get(row.userId)?.fill(row, Math.min(1, Math.max(0, row.score / best)), row.userId === ownUserId);
    }
  }
}

class PlayerRow {
  #rank = make("span", "rank-number");
  #moved = make("span", "rank-change");
  #face = make("span", "avatar");
  #name = make("bdi", "name");
  #you = make("span", "badge");
  #points = make("span", "points");
  #gain = make("span", "score-change");
  /** What is shown. @type {Row | null} */
  #row = null;
  /** What was shown when the row last began to look fresh; null when it does not. @type {Row | null} */
  #since = null;

  /** @param {string} userId */
  constructor(userId) {
    this.element = make("tr", "row");
    this.element.setAttribute("role", "row");
    this.element.style.setProperty("--hue", String(hueOf(userId)));
    for (const ornament of [this.#moved, this.#face, this.#gain]) ornament.setAttribute("aria-hidden", "true");
    this.#you.textContent = "You";
    this.element.append(
      cell("td", "cell", "rank", this.#rank, this.#moved),
      cell("th", "rowheader", "player", this.#face, this.#name, this.#you),
      cell("td", "cell", "score", this.#gain, this.#points),
    );
  }

  /**
   * @param {Row} row
   * @param {number} share of the leader's score, 0 to 1
   * @param {boolean} isOwn
   */
  fill(row, share, isOwn) {
    const was = this.#row;
    this.#row = row;
    this.element.style.setProperty("--share", share.toFixed(4));
    this.element.classList.toggle("own", isOwn);
    this.#you.hidden = !isOwn;
    this.#rank.textContent = String(row.rank);
    this.#points.textContent = figures(row.score);
    this.element.classList.toggle("long-score", this.#points.textContent.length > FIGURES_LONG);
    if (was?.username !== row.username || was.avatar !== row.avatar) this.#introduce(row);
    if (was && (was.score !== row.score || was.rank !== row.rank)) this.#freshen(was, row);
  }

  /** @param {Row} row */
  #introduce(row) {
    const name = displayName(row.username, row.userId);
    this.#name.textContent = name;
    this.#name.title = name;
    this.#face.textContent = initials(name);
    const address = ownImage(row.avatar, location.origin);
    if (!address) return;
    const image = new Image();
    image.alt = "";
    image.src = address;
    // The monogram stays until the image is there, and for good if it never is.
    image.onload = () => this.#row?.avatar === row.avatar && this.#face.replaceChildren(image);
  }

  /**
   * Show for a while by how much the score and the rank changed since the row last looked settled.
   * @param {Row} was
   * @param {Row} row
   */
  #freshen(was, row) {
    if (!this.#since) {
      this.#since = was;
      setTimeout(() => this.#settle(), FRESH_MS);
    }
    const gained = row.score - this.#since.score;
    const climbed = this.#since.rank - row.rank;
    this.#gain.textContent = gained ? gain(gained) : "";
    this.#moved.textContent = climbed ? `${climbed > 0 ? "▲" : "▼"} ${Math.abs(climbed)}` : "";
    this.element.classList.toggle("changed", gained !== 0);
    this.element.classList.toggle("rank-up", climbed > 0);
    this.element.classList.toggle("rank-down", climbed < 0);
  }

  #settle() {
    this.#since = null;
    this.element.classList.remove("changed", "rank-up", "rank-down");
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} className
 */
function make(tag, className) {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}

/**
 * A cell that stays one for assistive technology although the row is laid out as a grid.
 * @param {"td" | "th"} tag
 * @param {"cell" | "rowheader"} role
 * @param {string} className
 * @param {...Node} content
 */
function cell(tag, role, className, ...content) {
  const element = make(tag, className);
  element.setAttribute("role", role);
  element.append(...content);
  return element;
}
