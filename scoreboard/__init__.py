"""A live scoreboard: signed actions in, a durable ledger, a board that updates itself."""

__version__ = "0.3.0"
