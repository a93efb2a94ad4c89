"""Socket.IO 5 over Engine.IO: `conversation` is without I/O, `client` connects it to the board."""
