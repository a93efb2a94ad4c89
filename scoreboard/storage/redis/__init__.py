"""Redis: the client, the boards, the rate limiter and the embedded server."""
