"""The live wing, without a network and without waiting."""
