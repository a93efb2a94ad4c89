"""Settings and the catalogue: typed, frozen values from the environment and TOML. A leaf."""


class BadSettings(Exception):
    """What an operator configured cannot be used; the message is one line that names the setting and what it should be."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
