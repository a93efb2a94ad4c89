"""Settings and the catalogue: typed, frozen values from the environment and TOML. A leaf."""


class BadSettings(Exception):
    """A setting is wrong. The message is one line that names the setting and says what it should be."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class DiskFull(BadSettings):
    """The disk of the data directory is full. This may pass, so a start may be tried again."""
