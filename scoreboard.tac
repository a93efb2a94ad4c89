"""Entry point of twistd: ``twistd -n -y scoreboard.tac``. ``python -m scoreboard`` and ``scoreboard serve`` start the same."""

from scoreboard.early_signals import end_at_once_on_stop_signals

end_at_once_on_stop_signals()  # before the other imports, which take a second

from scoreboard.service.application import application as application  # noqa: E402
