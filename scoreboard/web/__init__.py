"""The HTTP wing: bytes to values and back. Statuses and camelCase live here alone."""
