/**
 * The masthead: how the line stands, how many play, how long ago the board moved. Drawn anew every second, because time passes.
 *
 * @typedef {import("./reconnecting_client.js").LineState} LineState
 */

import { ago, figures } from "./formatters.js";

export class Status {
  #sheet;
  #connection;
  #players;
  #updated;

  /** @param {(id: string) => HTMLElement} find */
  constructor(find) {
    this.#sheet = find("page");
    this.#connection = find("connection");
    this.#players = find("players");
    this.#updated = find("updated");
  }

  /**
   * @param {LineState} line
   * @param {import("./board_state.js").Scene} scene
   * @param {number} nowMs
   */
  draw(line, { total, changedAtMs }, nowMs) {
    this.#sheet.dataset.state = line.name;
    write(this.#connection, words(line, nowMs));
    write(this.#players, total === null ? "" : total === 1 ? "1 player" : `${figures(total)} players`);
    write(this.#updated, changedAtMs === null ? "" : `updated ${ago(nowMs - changedAtMs)}`);
    if (changedAtMs !== null) this.#updated.setAttribute("datetime", new Date(changedAtMs).toISOString());
  }
}

/**
 * @param {LineState} line
 * @param {number} nowMs
 */
function words(line, nowMs) {
  switch (line.name) {
    case "connecting":
      return "Connecting…";
    case "live":
      return "Live";
    case "delayed":
      return "Delayed";
    case "signed-out":
      return "Not signed in";
    case "offline":
      return `Offline · retrying in ${Math.max(1, Math.ceil((line.retryAtMs - nowMs) / 1000))} s`;
  }
}

/**
 * Writes only what differs, so that nothing is painted or selected anew for no reason.
 * @param {HTMLElement} element
 * @param {string} text
 */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
