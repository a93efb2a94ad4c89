"""Socket.IO and Engine.IO: the cores by values alone, the shells around a clock, and the whole stack by clients of others."""
