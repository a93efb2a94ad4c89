"""The quiet rooms: values and pure functions. No I/O, no clock, no await; imports nothing of ours but itself."""
