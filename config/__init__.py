"""Settings and the catalogue: typed, frozen values from the environment and TOML. A leaf."""

from __future__ import annotations


class BadSettings(Exception):
    """Settings are wrong. The message is one line; each complaint names a setting and says what it should be."""

    def __init__(self, *complaints: str) -> None:
        self.complaints = tuple(" ".join(complaint.split()) for complaint in complaints)
        super().__init__("; ".join(self.complaints))


class DiskFull(BadSettings):
    """The disk of the data directory is full. This may pass, so a start may be tried again."""
