"""A live scoreboard: signed actions in, a durable ledger, a board that moves by itself."""

__version__ = "0.3.0"
