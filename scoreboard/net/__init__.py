"""The network edge: sockets, HTTP and WebSocket. No other code uses the internals of Twisted's and Autobahn's protocols."""
