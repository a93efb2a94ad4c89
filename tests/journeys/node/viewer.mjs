// An unmodified socket.io-client, controlled by its arguments. It prints each event as one line of JSON.
import { io } from "socket.io-client";

const [url, transports, token, fresh] = process.argv.slice(2);
const say = (what, value) => console.log(JSON.stringify([what, value ?? null]));
const socket = io(url, { auth: { token }, transports: transports.split(","), reconnectionDelay: 100, reconnectionDelayMax: 500 });

socket.on("connect", async () => {
  say("connect", { transport: socket.io.engine.transport.name, recovered: socket.recovered });
  say("joined", await socket.timeout(15000).emitWithAck("join:leaderboard"));
});
socket.io.on("open", () => socket.io.engine.on("upgrade", (transport) => say("upgrade", transport.name)));
socket.on("connect_error", (error) => {
  say("connect_error", error.message);
  if (error.data) say("refused", error.data);
  if (fresh && !socket.active) {
    socket.auth.token = fresh;
    socket.connect();
  }
});
socket.on("disconnect", (reason) => say("disconnect", reason));
for (const event of ["leaderboard:update", "score:update", "rank:achieved", "error"]) socket.on(event, (data) => say(event, data));
process.stdin.on("end", () => socket.disconnect()).resume();
