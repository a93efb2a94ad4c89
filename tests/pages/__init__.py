"""The page, driven in a real browser against a server that says what it is told to."""
