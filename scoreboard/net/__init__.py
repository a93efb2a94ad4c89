"""The network edge: sockets, HTTP and WebSocket. The only code that knows the insides of Twisted's and Autobahn's protocols."""
