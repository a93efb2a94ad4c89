// An unmodified socket.io-client that joins once. A line "cut" on stdin breaks its connection; then it reconnects by itself.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [url, transports, auth] = process.argv.slice(2);
const say = (what, value) => console.log(JSON.stringify([what, value ?? null]));
const waits = { reconnectionDelay: 1000, reconnectionDelayMax: 1000, randomizationFactor: 0 };
const socket = io(url, { auth: JSON.parse(auth), transports: transports.split(","), ...waits });

socket.on("connect", () => say("connect", { id: socket.id, recovered: Boolean(socket.recovered) }));
socket.once("connect", async () => say("joined", await socket.timeout(15000).emitWithAck("join:leaderboard", { mode: "rows" })));
socket.on("connect_error", (error) => say("connect_error", error.message));
socket.on("disconnect", (reason) => say("disconnect", reason));
for (const event of ["leaderboard:update", "leaderboard:rows", "score:update", "rank:achieved", "error"])
  socket.on(event, (...args) => say(event, args));
createInterface({ input: process.stdin })
  .on("line", () => socket.io.engine.close())
  .on("close", () => socket.disconnect());
