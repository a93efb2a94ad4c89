"""Live protocols, without a network and without waiting."""
