"""Settings and the catalogue: typed, frozen values from the environment and TOML. A leaf."""


class BadSettings(Exception):
    """What an operator configured cannot be used; the message is one line that names the setting and what it should be."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class DiskFull(BadSettings):
    """The data directory's disk has no space for what has to be kept there. It may pass, so a start may be tried again."""
