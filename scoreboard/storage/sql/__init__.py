"""The ledger and the players in SQL: blocking sessions on threads of their own, and the coroutines that ask them."""
