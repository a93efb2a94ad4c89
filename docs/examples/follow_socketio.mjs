// For browsers and Node: follow the leaderboard with socket.io-client. npm install socket.io-client
// getToken returns a token of at least a minute; it is called again whenever it failed or its token was refused.
import { io } from "socket.io-client";
import { waitMs } from "./wait.mjs";

export function follow(url, getToken, onEvent) {
  let timer, openedAt, attempt = 0;
  const socket = io(url, {
    auth: async (give) => give({ token: await getToken().catch(() => undefined) }),
    reconnectionDelayMax: 20_000, // a lost connection comes back by itself; the random part makes up to 30 s of it
  });

  // After a refusal and after the server's own goodbye, socket.io-client does nothing more.
  function again() {
    attempt = Date.now() - openedAt > 60_000 ? 0 : attempt + 1;
    openedAt = undefined;
    timer = setTimeout(() => socket.connect(), waitMs(attempt));
  }

  socket.on("connect", () => {
    openedAt = Date.now();
    if (!socket.recovered) socket.emit("join:leaderboard"); // recovered: what was missed comes by itself
  });
  socket.on("connect_error", (error) => {
    if (error.data?.code === 4030) onEvent("error", error.data); // the account is suspended
    else if (!socket.active) again();
  });
  socket.on("disconnect", (reason) => {
    if (reason === "io server disconnect") again();
  });
  socket.on("auth:expiring", () => getToken().then((token) => socket.emit("auth:refresh", { token }), () => {}));
  socket.onAny(onEvent);
  return function stop() {
    clearTimeout(timer);
    socket.disconnect();
  };
}
