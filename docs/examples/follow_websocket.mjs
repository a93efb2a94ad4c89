// For browsers and Node 22: follow the leaderboard over WebSocket, and get what was missed after a lost connection.
// getToken returns a token of at least a minute; it is called again whenever it failed or its token was refused.
// onEvent(name, data) is called with each event.
import { waitMs } from "./wait.mjs";

export function follow(url, getToken, onEvent) {
  let socket, timer, openedAt, attempt = 0, stopped = false;
  let newest, since; // the newest cursor, and the one before it: all events of `since` have arrived

  async function open() {
    const token = await getToken().catch(() => null);
    if (stopped) return;
    if (token === null) return again();
    socket = new WebSocket(url);
    const send = (event, data, id) => socket.send(JSON.stringify({ event, data, id }));
    socket.onopen = () => {
      send("auth", { token }, 1);
      send("join:leaderboard", since ? { since } : undefined, 2);
    };
    socket.onmessage = (message) => {
      const { event, data, id } = JSON.parse(message.data);
      if (event === "ack" && id === 2) openedAt = Date.now();
      const { epoch, seq } = data?.data ?? {};
      const cursor = epoch === undefined ? newest : `${epoch}.${seq}`;
      if (cursor !== newest) [since, newest] = [newest ?? cursor, cursor];
      if (event === "auth:expiring") getToken().then((fresh) => send("auth:refresh", { token: fresh }, 3), () => {});
      if (event !== "ack") onEvent(event, data);
    };
    socket.onclose = socket.onerror = ({ code }) => {
      socket.onclose = socket.onerror = null; // a browser reports a failed attempt by both, Node 20 by one of them
      if (code !== 4403) again(); // 4403: the account is suspended
    };
  }

  function again() {
    if (stopped) return;
    if (Date.now() - openedAt > 60_000) attempt = 0; // the connection was open for a minute
    openedAt = undefined;
    timer = setTimeout(open, waitMs(attempt++)); // no browser shows the Retry-After of a refused WebSocket
  }

  open();
  return function stop() {
    stopped = true;
    clearTimeout(timer);
    socket?.close();
  };
}
