/**
 * Page header: the connection state, the number of players and the time of the last change. It is rendered every second, because
 * the age and the countdown to a retry change with time.
 *
 * @typedef {import("./reconnecting_client.js").ConnectionState} ConnectionState
 */

import { formatAge, formatNumber } from "./formatters.js";

export class PageHeader {
  #page;
  #connection;
  #players;
  #updated;

  /** @param {(id: string) => HTMLElement} byId */
  constructor(byId) {
    this.#page = byId("page");
    this.#connection = byId("connection");
    this.#players = byId("players");
    this.#updated = byId("updated");
  }

  /**
   * @param {ConnectionState} connection
   * @param {import("./board_state.js").BoardState} boardState
   * @param {number} nowMs
   */
  render(connection, { total, changedAtMs }, nowMs) {
    this.#page.dataset.state = connection.name;
    setText(this.#connection, describeConnection(connection, nowMs));
    setText(this.#players, total === null ? "" : total === 1 ? "1 player" : `${formatNumber(total)} players`);
    setText(this.#updated, changedAtMs === null ? "" : `updated ${formatAge(nowMs - changedAtMs)}`);
    if (changedAtMs !== null) this.#updated.setAttribute("datetime", new Date(changedAtMs).toISOString());
  }
}

/**
 * @param {ConnectionState} connection
 * @param {number} nowMs
 */
function describeConnection(connection, nowMs) {
  switch (connection.name) {
    case "connecting":
      return "Connecting…";
    case "live":
      return "Live";
    case "delayed":
      return "Delayed";
    case "signed-out":
      return "Not signed in";
    case "offline":
      return `Offline · retrying in ${Math.max(1, Math.ceil((connection.retryAtMs - nowMs) / 1000))} s`;
  }
}

/**
 * Sets the text only if it differs, which keeps the viewer's selection and avoids a repaint.
 * @param {HTMLElement} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
