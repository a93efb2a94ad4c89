/**
 * The hall: the only module that knows the others. It hears news, keeps the scene, and has it drawn, at most once a frame.
 */

import { Board } from "./board.js";
import { Connection } from "./reconnecting_client.js";
import { figures } from "./formatters.js";
import { OwnPlace } from "./own_rank_panel.js";
import { Scene } from "./board_state.js";
import { Session } from "./token_provider.js";
import { Speech } from "./live_region.js";
import { Status } from "./page_header.js";
import { Viewer } from "./viewer_panel.js";

const SECOND_MS = 1000;
/** Our own rank also falls when others pass us, of which we are not told one by one: so we ask, but seldom. */
const OWN_PLACE_INTERVAL_MS = 15_000;
const NOT_TAKEN = "The token was not accepted or has expired.";
/** @type {Record<string, string>} */
const WRONG = {
  offline: "The connection is lost. Trying again by itself.",
  delayed: "The board may be out of date.",
};

/** @param {string} id */
const find = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const scene = new Scene();
const session = new Session({ storage: sessionStorage, fetch: fetch.bind(window), now: Date.now });
const board = new Board(find("rows"), () => calm.matches);
const status = new Status(find);
const ownPlace = new OwnPlace(find);
const speech = new Speech(find("live-region"));
const viewer = new Viewer(find, { use, leave });
const connection = new Connection({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`,
  session,
  now: Date.now,
  random: Math.random,
  hear,
  show,
});

/** @type {import("./reconnecting_client.js").LineState} */
let line = { name: "connecting" };
let isDrawDue = false;
let isPlaceDue = false;
let wasGiven = false;
/** What was last said to be wrong, "" for nothing. */
let saidOf = "";

/**
 * News from the server.
 * @param {string} event
 * @param {any} message
 */
function hear(event, { data }) {
  if (!(event === "leaderboard:update" && scene.isAt(data))) isPlaceDue = true;
  if (event === "leaderboard:update" && scene.refresh(data, Date.now())) speech.follow(scene.rows);
  else if (event === "score:update") scene.change(data, Date.now());
  else if (event === "rank:achieved" && data.userId === scene.ownUserId) praiseRank(data.milestone);
  else if (event === "achievement:unlocked" && data.userId === scene.ownUserId) praisePoints(data.milestone);
  drawSoon();
}

/**
 * The line stands differently now.
 * @param {import("./reconnecting_client.js").LineState} state
 */
function show(state) {
  if (wasGiven && !session.isGiven) {
    viewer.complain(NOT_TAKEN);
    speech.say(NOT_TAKEN);
  }
  wasGiven = session.isGiven;
  scene.watchAs(session.player?.userId ?? null);
  if (state.name === "connecting") scene.startOver();
  if (state.name === "live") {
    if (saidOf) speech.say("The board is live again.");
    saidOf = "";
    void askPlace();
  } else if (state.name in WRONG && saidOf !== state.name) {
    speech.say(WRONG[state.name]);
    saidOf = state.name;
  }
  line = state;
  viewer.draw(session, line.name === "signed-out");
  drawSoon();
}

/**
 * The viewer gave a token.
 * @param {string} token
 */
function use(token) {
  const isTaken = session.use(token);
  if (isTaken) void connection.open();
  return isTaken;
}

/** The viewer took the token back. */
function leave() {
  session.leave();
  wasGiven = false;
  void connection.open();
}

/** @param {number} top */
function praiseRank(top) {
  if (top === 1) praise("Number one", "You are number one!");
  else praise(`Top ${top}`, `You entered the top ${top}!`);
}

/** @param {number} points */
function praisePoints(points) {
  praise(`${figures(points)} points`, `You reached ${figures(points)} points!`);
}

/**
 * @param {string} shown
 * @param {string} said
 */
function praise(shown, said) {
  ownPlace.praise(shown);
  speech.say(said);
}

/** Ask the server where we stand; it does not matter if it cannot say now. */
async function askPlace() {
  isPlaceDue = false;
  if (scene.ownUserId === null) return;
  const asked = scene.ask();
  const response = await fetch("/api/v1/scores/me", { headers: session.headers }).catch(() => null);
  if (!response?.ok) return;
  scene.answer(asked, (await response.json()).data);
  drawSoon();
}

function drawSoon() {
  if (isDrawDue) return;
  isDrawDue = true;
  requestAnimationFrame(draw);
}

function draw() {
  isDrawDue = false;
  status.draw(line, scene, Date.now());
  board.draw(scene.rows, scene.ownUserId);
  find("empty-state").hidden = scene.total === null || scene.rows.length > 0;
  ownPlace.draw(scene);
}

setInterval(() => status.draw(line, scene, Date.now()), SECOND_MS);
setInterval(() => isPlaceDue && line.name === "live" && askPlace(), OWN_PLACE_INTERVAL_MS);
for (const change of ["online", "offline"]) addEventListener(change, () => connection.nudge());
document.addEventListener("visibilitychange", () => document.hidden || connection.nudge());
find("demo-hint").hidden = !["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
session.takeFragment(location, history);
void connection.open();
