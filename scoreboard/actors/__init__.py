"""Stateful rooms: whoever must await between reading its state and writing it."""
