"""What admins hold in the hand: the `scoreboard` command."""
