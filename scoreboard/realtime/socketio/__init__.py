"""Socket.IO 5 over Engine.IO. A pure core (``conversation``) and its shell (``subscriber``)."""
