/**
 * Page header: the connection state, the number of players and the time of the last change. It is rendered every second, because
 * the age and the countdown to a retry change with time.
 *
 * @typedef {import("./reconnecting_client.js").ConnectionState} ConnectionState
 */

import { formatAge, formatNumber } from "./formatters.js";

/** The text that each element was given. A browser that translates the page replaces the text in the page itself. */
const shownTexts = new WeakMap();

export class PageHeader {
  #page;
  #connection;
  #retry;
  #players;
  #updated;

  /**
   * @param {(id: string) => HTMLElement} byId
   * @param {() => void} onRetry the viewer wants no longer to wait for the next attempt
   */
  constructor(byId, onRetry) {
    this.#page = byId("page");
    this.#connection = byId("connection");
    this.#retry = byId("retry");
    this.#retry.onclick = onRetry;
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
    // While an attempt runs, the button stays as it is, so that it keeps the focus.
    if (connection.name !== "connecting") this.#retry.hidden = connection.name !== "offline";
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
 * Sets the text only if it differs from the last one, which keeps the viewer's selection and avoids a repaint.
 * @param {HTMLElement} element
 * @param {string} text
 */
function setText(element, text) {
  if (shownTexts.get(element) === text) return;
  shownTexts.set(element, text);
  element.textContent = text;
}
