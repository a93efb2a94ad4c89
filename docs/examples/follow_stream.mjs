// For browsers: follow the leaderboard as server-sent events. An EventSource sends no token, so each one gets a ticket.
// getToken returns a token; it is called again whenever it failed or its token was refused.
import { waitMs } from "./wait.mjs";

const EVENTS = ["leaderboard:update", "score:update", "rank:achieved", "achievement:unlocked", "account:suspended"];

export function follow(api, getToken, onEvent) {
  let source, timer, openedAt, attempt = 0, stopped = false, since = "";

  async function open() {
    const headers = { Authorization: `Bearer ${await getToken()}` };
    const response = await fetch(`${api}/auth/ticket`, { method: "POST", headers, signal: AbortSignal.timeout(10_000) });
    const answer = await response.json();
    if (stopped) return;
    if (answer.code === 4030) return onEvent("error", answer); // the account is suspended: another attempt gets the same answer
    if (!answer.success) return again(response.headers.get("Retry-After"));
    source = new EventSource(`${api}/scores/stream?ticket=${answer.data.ticket}${since && `&since=${since}`}`);
    for (const name of EVENTS) {
      source.addEventListener(name, (event) => {
        openedAt ??= Date.now();
        since = event.lastEventId || since;
        onEvent(name, JSON.parse(event.data));
      });
    }
    source.onerror = () => {
      source.close(); // the ticket is used: the next source needs another one
      again();
    };
  }

  function start() {
    open().catch(() => again()); // no token, no network, or an answer that is not the server's
  }

  function again(retryAfter) {
    if (stopped) return;
    if (Date.now() - openedAt > 60_000) attempt = 0;
    openedAt = undefined;
    timer = setTimeout(start, waitMs(attempt++, retryAfter));
  }

  start();
  return function stop() {
    stopped = true;
    clearTimeout(timer);
    source?.close();
  };
}
