"""Engine.IO 4: one session over HTTP long-polling or a WebSocket. A pure core (``session``) and its shell (``line``)."""
