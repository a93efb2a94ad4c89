"""A login service that signs the players' tokens itself, with the server's JWT_SECRET. Needs: pip install pyjwt"""

import json
import os
import sys
import time
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

LIFE_S = 900  # at most the server's JWT_EXPIRATION
#: Your sessions: the value of the cookie `session` of a signed-in player, and (userId, username). Empty: no request gets a token.
SESSIONS: dict[str, tuple[str, str]] = {}


def token_for(user_id: str, username: str) -> str:
    """A token of the role `user`; all five claims are needed. userId: 1 to 64 of A-Z a-z 0-9 _ . : -"""
    now = int(time.time())
    claims = {"userId": user_id, "username": username, "role": "user", "iat": now, "exp": now + LIFE_S}
    return jwt.encode(claims, os.environ["JWT_SECRET"], algorithm="HS256")


class Login(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        cookies = SimpleCookie(self.headers.get("Cookie", ""))
        player = SESSIONS.get(cookies["session"].value) if "session" in cookies else None
        body = {"error": "not signed in"} if player is None else {"token": token_for(*player), "expiresInS": LIFE_S}
        self.send_response(401 if player is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


if __name__ == "__main__":
    if not os.environ.get("JWT_SECRET"):
        sys.exit("Set JWT_SECRET to the secret that the server has in its JWT_SECRET")
    ThreadingHTTPServer(("127.0.0.1", 8000), Login).serve_forever()
