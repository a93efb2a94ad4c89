(
set -eu
SERVER=${SERVER:-http://127.0.0.1:3000}
API=$SERVER/api/v1
curl -fs "$SERVER/healthz" > /dev/null || { echo "No server answers at $SERVER: start it with 'make run' in another terminal" >&2; exit 69; }
TOKEN=${TOKEN:-$(.venv/bin/scoreboard token mint --user user-123 --name Ada)}
send() { curl -sS -w '\n' -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' "$@"; }
ask() { ANSWER=$(send --fail-with-body "$@") || { printf '%s\n' "$ANSWER" >&2; exit 1; }; printf '%s\n' "$ANSWER"; }

# Begin an action: the server answers what it will bring (expectedScore: 250, because it is hard) and signs that.
GRANT=$(ask "$API/actions/initialize" \
    -d '{"actionType": "COMPLETE_QUEST", "metadata": {"questId": "quest-123", "difficulty": "hard"}}')
printf '%s\n' "$GRANT"

# Complete the action, and submit it with what the server signed.
DONE=$(printf '%s' "$GRANT" | python3 -c '
import json, sys
grant = json.load(sys.stdin)["data"]
signed = {key: grant[key] for key in ("actionId", "timestamp", "signature")}
print(json.dumps({"actionType": "COMPLETE_QUEST", "metadata": {"questId": "quest-123", "difficulty": "hard"}, **signed}))')
ask "$API/scores/submit" -d "$DONE"

# Ada's score and rank, and the leaderboard.
ask "$API/scores/me"
ask "$API/scores/leaderboard?limit=10"

# The same submission again: 409 with the original receipt, and nothing is awarded.
send "$API/scores/submit" -d "$DONE"
)
