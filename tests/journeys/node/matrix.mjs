// One client, named by the first argument, that follows the board over restarts. It prints each event as a line of JSON.
import http from "node:http";
import { EventSource } from "eventsource";
import { io } from "socket.io-client";
import { io as io3 } from "socket.io-client-3";
import WebSocket from "ws";
import { waitMs } from "../../../docs/examples/wait.mjs";

const [client, transports, url, token] = process.argv.slice(2);
const say = (...what) => console.log(JSON.stringify(what));
const EVENTS = ["leaderboard:update", "score:update"];
let failures = 0;

function followSocketIo(connect, options) {
  const socket = connect(url, { ...options, auth: { token }, transports: transports.split(","), reconnectionDelay: 200, reconnectionDelayMax: 500 });
  socket.on("connect", () => socket.emit("join:leaderboard"));
  for (const event of EVENTS) socket.on(event, say);
}

function followWebSocket() {
  const socket = new WebSocket(`${url.replace("http", "ws")}/ws`, { headers: { Authorization: `Bearer ${token}` } });
  socket.on("open", () => {
    failures = 0;
    socket.send('{"event":"join:leaderboard"}');
  });
  socket.on("message", (data) => say(String(data)));
  socket.on("error", () => {}); // "close" follows
  socket.on("close", () => setTimeout(followWebSocket, waitMs(failures++)));
}

function followStream() {
  const withToken = (input, init) => fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } });
  const source = new EventSource(`${url}/api/v1/scores/stream`, { fetch: withToken });
  for (const event of EVENTS) source.addEventListener(event, ({ data }) => say(data));
  source.addEventListener("open", () => { failures = 0; });
  source.addEventListener("error", () => {
    if (source.readyState === source.CLOSED) setTimeout(followStream, waitMs(failures++)); // refused, or a status other than 200
  });
}

const keepAlive = { agent: new http.Agent({ keepAlive: true }) };
({
  v4: () => followSocketIo(io),
  v3: () => followSocketIo(io3),
  "v4-keep-alive": () => followSocketIo(io, keepAlive),
  "v3-keep-alive": () => followSocketIo(io3, keepAlive),
  ws: followWebSocket,
  eventsource: followStream,
})[client]();
process.stdin.on("end", () => process.exit()).resume();
