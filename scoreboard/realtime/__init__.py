"""Live protocols: they decode what clients send into calls, and encode events for clients."""
