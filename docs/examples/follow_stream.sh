(
set -eu
API=${1:-http://127.0.0.1:3000/api/v1}
TOKEN=${2:-$(.venv/bin/scoreboard token mint --user user-123)}
# curl can send the token; a browser's EventSource sends a ticket instead, which is valid once and for 30 seconds.
ANSWER=$(curl -sS --fail-with-body -X POST -H "Authorization: Bearer $TOKEN" "$API/auth/ticket") || { printf '%s\n' "$ANSWER" >&2; exit 1; }
TICKET=$(printf '%s' "$ANSWER" | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["ticket"])')
curl -sSN --fail-with-body "$API/scores/stream?ticket=$TICKET"
)
