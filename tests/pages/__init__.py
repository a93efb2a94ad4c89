"""The page in a real browser, against a fake server."""
