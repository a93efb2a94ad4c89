// A login service that signs the players' tokens itself, with the server's JWT_SECRET. Only Node is needed.
import { createHmac } from "node:crypto";
import { createServer } from "node:http";

const LIFE_S = 900; // at most the server's JWT_EXPIRATION
// Your own sessions: the value of the cookie `session` of a signed-in player, and { userId, username }. Empty: no request gets a token.
export const sessions = new Map();

// A token of the role `user`; all five claims are needed. userId: 1 to 64 of A-Z a-z 0-9 _ . : -
export function tokenFor({ userId, username }, secret = process.env.JWT_SECRET) {
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ userId, username, role: "user", iat: now, exp: now + LIFE_S })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

export const login = createServer((request, response) => {
  const cookie = /(?:^|;\s*)session=([^;]+)/.exec(request.headers.cookie ?? "");
  const player = request.method === "POST" && cookie ? sessions.get(cookie[1]) : undefined;
  response.writeHead(player ? 200 : 401, { "Content-Type": "application/json", "Cache-Control": "no-store" });
  response.end(JSON.stringify(player ? { token: tokenFor(player), expiresInS: LIFE_S } : { error: "not signed in" }));
});

if (process.argv[1] === import.meta.filename) {
  if (process.env.JWT_SECRET) login.listen(8000, "127.0.0.1");
  else {
    console.error("Set JWT_SECRET to the secret that the server has in its JWT_SECRET");
    process.exitCode = 1;
  }
}
