"""The network edge: what it relies on inside Twisted, Autobahn and txredisapi."""
