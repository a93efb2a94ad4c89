"""WebSocket (RFC 6455): handshake, frames and connections."""
