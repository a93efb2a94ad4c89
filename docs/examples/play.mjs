// For browsers and Node: begin an action, complete it, submit it.
import { sleep, waitMs } from "./wait.mjs";

export async function play(api, token, actionType, metadata, complete) {
  const grant = await ask(api, token, "actions/initialize", { actionType, metadata });
  await complete?.(grant); // the player does it here; grant.expectedScore says what it will bring
  const { actionId, timestamp, signature } = grant;
  return ask(api, token, "scores/submit", { actionType, metadata, actionId, timestamp, signature });
}

// The server may answer otherwise later. Every other refusal is final: DAILY_LIMIT, for example, holds until midnight UTC.
const AGAIN = ["UNAVAILABLE", "INTERNAL_ERROR", "RATE_LIMIT_EXCEEDED", "ACTION_TOO_EARLY"];

// Send the same body until the answer is certain. An action is awarded once, however often it is submitted.
async function ask(api, token, path, body) {
  const request = {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  let answer, retryAfter;
  for (let attempt = 0; attempt < 8; attempt++) {
    if (attempt > 0) await sleep(waitMs(attempt - 1, retryAfter));
    const response = await fetch(`${api}/${path}`, { ...request, signal: AbortSignal.timeout(10_000) }).catch(() => null);
    answer = await response?.json().catch(() => null);
    if (answer?.success) return answer.data;
    if (answer?.error === "ACTION_ALREADY_USED" && answer.data) return answer.data; // the receipt of the first time
    // No answer, or one that is not the server's: the network or a proxy fails.
    answer = answer?.success === false ? answer : { error: "UNAVAILABLE", message: `no answer from ${path}` };
    if (!AGAIN.includes(answer.error)) throw new Error(`${answer.error}: ${answer.message}`);
    retryAfter = response?.headers.get("Retry-After");
  }
  throw new Error(`${answer.error}: ${answer.message} (after 8 attempts; send the same action again later)`);
}
