"""Composition root: the only package that chooses implementations. `server` is for twistd, `admin` is what the CLI calls."""
