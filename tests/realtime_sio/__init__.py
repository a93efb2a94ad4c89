"""Socket.IO and Engine.IO: the parts without I/O, connections on a fake clock, and the whole with clients of other projects."""
