"""Engine.IO 4, over HTTP long polling or a WebSocket: `session` is without I/O, `connection` gives it a transport."""
