"""The attack suite: for every rule "only X is admitted", what is not X, shown at every door (docs/security.md)."""
