/**
 * Composition root: creates the other modules and connects them. It updates the state on each event and renders at most once a frame.
 */

import { Board } from "./board.js";
import { BoardState } from "./board_state.js";
import { formatNumber } from "./formatters.js";
import { fetchJson } from "./fetch_json.js";
import { KeptToken } from "./kept_token.js";
import { LiveRegion } from "./live_region.js";
import { OwnRankPanel } from "./own_rank_panel.js";
import { PageHeader } from "./page_header.js";
import { ReconnectingClient } from "./reconnecting_client.js";
import { TokenProvider } from "./token_provider.js";
import { ViewerPanel } from "./viewer_panel.js";

const SECOND_MS = 1000;
/** The own rank also falls when other players pass, and the server sends no event for that: so the page polls, at long intervals. */
const OWN_RANK_INTERVAL_MS = 15_000;
const TOKEN_REJECTED = "The token was not accepted or has expired.";
/** @type {Record<string, string>} */
const PROBLEMS = {
  offline: "The connection is lost. The page tries again.",
  delayed: "The board may be out of date.",
};

/** @param {string} id */
const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

const boardState = new BoardState();
const kept = new KeptToken(() => sessionStorage);
const tokens = new TokenProvider({ kept, fetch: fetch.bind(window), now: Date.now });
const board = new Board(byId("rows"), () => reducedMotion.matches, reportFault);
const pageHeader = new PageHeader(byId, () => client.checkNow());
const ownRankPanel = new OwnRankPanel(byId);
const liveRegion = new LiveRegion(byId("live-region"));
const viewerPanel = new ViewerPanel(byId, { signIn, signOut, isKept: kept.isKept });
const client = new ReconnectingClient({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`,
  tokens,
  now: Date.now,
  random: Math.random,
  onEvent,
  onState,
  onFault: reportFault,
});

/** @type {import("./reconnecting_client.js").ConnectionState} */
let connection = { name: "connecting" };
let isRenderScheduled = false;
let isOwnRankStale = false;
let wasSignedIn = false;
/** The last announced problem, a key of PROBLEMS; "" if there is none. */
let announcedProblem = "";

/**
 * @param {string} event
 * @param {any} message
 */
function onEvent(event, { data }) {
  if (!(event === "leaderboard:update" && boardState.isAt(data))) isOwnRankStale = true;
  if (event === "leaderboard:update" && boardState.applySnapshot(data, Date.now())) liveRegion.update(boardState.rows);
  else if (event === "score:update") boardState.applyScoreChange(data, Date.now());
  else if (event === "rank:achieved" && data.userId === boardState.ownUserId) showRankMilestone(data.milestone);
  else if (event === "achievement:unlocked" && data.userId === boardState.ownUserId) showScoreMilestone(data.milestone);
  scheduleRender();
}

/** @param {import("./reconnecting_client.js").ConnectionState} state */
function onState(state) {
  if (wasSignedIn && !tokens.isSignedIn) {
    viewerPanel.showError(TOKEN_REJECTED);
    liveRegion.announce(TOKEN_REJECTED);
  }
  wasSignedIn = tokens.isSignedIn;
  boardState.setPlayer(tokens.player?.userId ?? null);
  if (state.name === "connecting") boardState.resetCursors();
  if (state.name === "live") {
    if (announcedProblem) liveRegion.announce("The board is live again.");
    announcedProblem = "";
    void fetchOwnRank();
  } else if (state.name in PROBLEMS && announcedProblem !== state.name) {
    liveRegion.announce(PROBLEMS[state.name]);
    announcedProblem = state.name;
  }
  connection = state;
  viewerPanel.render(tokens, connection.name === "signed-out");
  scheduleRender();
}

/** @param {string} text */
function signIn(text) {
  const isSignedIn = tokens.signIn(text);
  if (isSignedIn) void client.open();
  return isSignedIn;
}

function signOut() {
  tokens.signOut();
  wasSignedIn = false;
  void client.open();
}

/** @param {number} top */
function showRankMilestone(top) {
  if (top === 1) showMilestone("Number one", "You are number one!");
  else showMilestone(`Top ${top}`, `You entered the top ${top}!`);
}

/** @param {number} points */
function showScoreMilestone(points) {
  showMilestone(`${formatNumber(points)} points`, `You reached ${formatNumber(points)} points!`);
}

/**
 * @param {string} label
 * @param {string} announcement
 */
function showMilestone(label, announcement) {
  ownRankPanel.showMilestone(label);
  liveRegion.announce(announcement);
}

/** Fetch the player's own rank; a failure is ignored, because the next event marks the rank as stale again. */
async function fetchOwnRank() {
  isOwnRankStale = false;
  if (boardState.ownUserId === null) return;
  const cursor = boardState.ownCursor;
  const response = await fetchJson(fetch, "/api/v1/scores/me", { headers: tokens.headers }).catch(() => null);
  if (response?.status !== 200 || !response.body?.data) return;
  boardState.setOwnRank(cursor, response.body.data);
  scheduleRender();
}

function scheduleRender() {
  if (isRenderScheduled) return;
  isRenderScheduled = true;
  requestAnimationFrame(render);
}

function render() {
  isRenderScheduled = false;
  delete byId("page").dataset.shown;
  pageHeader.render(connection, boardState, Date.now());
  board.render(boardState.rows, boardState.ownUserId);
  byId("empty-state").hidden = boardState.total === null || boardState.rows.length > 0;
  ownRankPanel.render(boardState);
  if (boardState.total !== null) byId("page").dataset.shown = "";
}

/** Report a fault of the page, or a function that the browser lacks, as `start_check.js` expects it. @param {unknown} error */
function reportFault(error) {
  setTimeout(() => {
    throw error;
  });
}

setInterval(() => pageHeader.render(connection, boardState, Date.now()), SECOND_MS);
setInterval(() => isOwnRankStale && connection.name === "live" && fetchOwnRank(), OWN_RANK_INTERVAL_MS);
addEventListener("online", () => client.checkNow());
addEventListener("pageshow", (event) => event.persisted && client.checkNow());
addEventListener("offline", () => connection.name !== "offline" && client.checkNow());
document.addEventListener("visibilitychange", () => document.hidden || client.checkNow());
byId("demo-hint").hidden = !["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
if (!tokens.takeFragment(location, history)) viewerPanel.showUnreadable();
void client.open();
