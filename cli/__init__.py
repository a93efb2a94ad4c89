"""The operators' command-line client: the `scoreboard` command."""
