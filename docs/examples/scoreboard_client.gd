# For Godot 4: plays over HTTP and follows the board over WebSocket.
# Add it as a node, then set api, socket_url and get_token.
class_name ScoreboardClient
extends Node

signal awarded(receipt: Dictionary)
signal refused(error: String, message: String)
signal event_received(event: String, data: Variant)

# The server may answer otherwise later. Every other refusal is final, DAILY_LIMIT too.
const AGAIN := ["UNAVAILABLE", "INTERNAL_ERROR", "RATE_LIMIT_EXCEEDED", "ACTION_TOO_EARLY"]
const SUSPENDED := 4403

@export var api := "http://127.0.0.1:3000/api/v1"
@export var socket_url := "ws://127.0.0.1:3000/ws"
# Returns a token of your login service as a String, and "" when that fails. It may await.
var get_token: Callable
var _socket: WebSocketPeer = null
var _opened_ms := 0
var _attempt := 0
var _token := ""


# Begin an action. Keep what it returns, and give it to submit when the player has completed it.
func begin(action_type: String, metadata: Dictionary) -> Dictionary:
	var action := {"actionType": action_type, "metadata": metadata}
	var answer := await _ask_until_certain("actions/initialize", action)
	if not answer.has("data"):
		refused.emit(answer["error"], answer["message"])
		return {}
	var grant: Dictionary = answer["data"]
	# JSON numbers are floats in Godot; the server wants the whole number back.
	action["timestamp"] = int(grant["timestamp"])
	action["actionId"] = grant["actionId"]
	action["signature"] = grant["signature"]
	return action


# Submit a completed action. It is awarded once.
func submit(action: Dictionary) -> void:
	var answer := await _ask_until_certain("scores/submit", action)
	if answer.has("data"):
		awarded.emit(answer["data"])
	else:
		refused.emit(answer["error"], answer["message"])


# Follow the board until the account is suspended.
func follow() -> void:
	_token = await get_token.call()
	if _token == "":
		await _wait_and_follow()
		return
	_opened_ms = 0
	_socket = WebSocketPeer.new()
	_socket.connect_to_url(socket_url)


func _process(_delta: float) -> void:
	if _socket == null:
		return
	_socket.poll()
	if _socket.get_ready_state() == WebSocketPeer.STATE_OPEN:
		if _opened_ms == 0:
			_opened_ms = Time.get_ticks_msec()
			_send("auth", {"token": _token})
			_send("join:leaderboard", null)
		while _socket.get_available_packet_count() > 0:
			var message: Dictionary = JSON.parse_string(_socket.get_packet().get_string_from_utf8())
			event_received.emit(message["event"], message.get("data"))
	elif _socket.get_ready_state() == WebSocketPeer.STATE_CLOSED:
		var code := _socket.get_close_code()
		_socket = null
		if _opened_ms > 0 and Time.get_ticks_msec() - _opened_ms > 60000:
			_attempt = 0
		if code != SUSPENDED:
			_wait_and_follow()


func _send(event: String, data: Variant) -> void:
	_socket.send_text(JSON.stringify({"event": event, "data": data}))


func _wait_and_follow() -> void:
	await get_tree().create_timer(_wait_s(_attempt, 0.0)).timeout
	_attempt += 1
	follow()


# The same request, again until the answer is certain.
func _ask_until_certain(path: String, body: Dictionary) -> Dictionary:
	var answer := {}
	for attempt in 8:
		answer = await _ask(path, body)
		if answer.has("data") or answer["error"] not in AGAIN:
			return answer
		await get_tree().create_timer(_wait_s(attempt, answer.get("retryAfter", 0.0))).timeout
	return answer


# About 1 s, doubled with each attempt, or what the server asks for; 30 s at most.
func _wait_s(attempt: int, retry_after: float) -> float:
	var backoff := minf(20.0, pow(2, attempt)) * randf_range(0.5, 1.5)
	return maxf(backoff, minf(24.0, retry_after) * randf_range(1.0, 1.25))


func _ask(path: String, body: Dictionary) -> Dictionary:
	var request := HTTPRequest.new()
	request.timeout = 10.0
	add_child(request)
	var token: String = await get_token.call()
	var headers := PackedStringArray(
		["Authorization: Bearer " + token, "Content-Type: application/json"]
	)
	var no_answer := {"error": "UNAVAILABLE", "message": "No answer"}
	if token == "":
		request.queue_free()
		return no_answer
	request.request(api + "/" + path, headers, HTTPClient.METHOD_POST, JSON.stringify(body))
	var result: Array = await request.request_completed
	request.queue_free()
	var answer: Variant = JSON.parse_string(result[3].get_string_from_utf8())
	if answer is Dictionary and answer.get("success") is bool:
		return answer
	return no_answer
