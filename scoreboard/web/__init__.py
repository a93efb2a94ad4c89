"""HTTP API: it turns the bytes of requests into values and values into responses. camelCase exists here alone."""
