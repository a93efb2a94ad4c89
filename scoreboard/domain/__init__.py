"""Domain: values and pure functions. No I/O, no clock, no await; it imports no other package of this project."""
