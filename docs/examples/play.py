"""Begin an action, complete it, submit it. Needs: pip install requests. Call: python3 play.py API TOKEN"""

import json
import sys
import time

import requests
from wait import wait_s

#: The server may answer otherwise later. Every other refusal is final: DAILY_LIMIT, for example, holds until midnight UTC.
AGAIN = ("UNAVAILABLE", "INTERNAL_ERROR", "RATE_LIMIT_EXCEEDED", "ACTION_TOO_EARLY")


class Refused(Exception):
    """The server refused: its code, for example DAILY_LIMIT, and its message."""


class Player:
    def __init__(self, api: str, token: str) -> None:
        self._api = api
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def play(self, action_type: str, metadata: dict) -> dict:
        action = {"actionType": action_type, "metadata": metadata}
        grant = self._ask("actions/initialize", action)
        # Here the player completes the action; grant["expectedScore"] says what it will bring.
        signed = {key: grant[key] for key in ("actionId", "timestamp", "signature")}
        return self._ask("scores/submit", {**action, **signed})

    def _ask(self, path: str, body: dict) -> dict:
        """Send the same body until the answer is certain. An action is awarded once, however often it is submitted."""
        retry_after = None
        for attempt in range(8):
            if attempt > 0:
                time.sleep(wait_s(attempt - 1, retry_after))
            answer, retry_after = None, None
            try:
                response = self._session.post(f"{self._api}/{path}", json=body, timeout=10)
                retry_after, answer = response.headers.get("Retry-After"), response.json()
            except requests.RequestException:
                pass
            if not isinstance(answer, dict) or not isinstance(answer.get("success"), bool):  # the network or a proxy fails
                answer = {"error": "UNAVAILABLE", "message": f"no answer from {path}"}
            if answer.get("success") or (answer["error"] == "ACTION_ALREADY_USED" and "data" in answer):
                return answer["data"]  # or the receipt of the first time
            if answer["error"] not in AGAIN:
                raise Refused(answer["error"], answer["message"])
        raise Refused(answer["error"], f"{answer['message']} (after 8 attempts; send the same action again later)")


if __name__ == "__main__":
    api, token = sys.argv[1:]
    print(json.dumps(Player(api, token).play("COMPLETE_QUEST", {"questId": "quest-123", "difficulty": "hard"})))
