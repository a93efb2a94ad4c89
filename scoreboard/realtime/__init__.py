"""The live wing: frames to calls, events to frames."""
