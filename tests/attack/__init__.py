"""The attack suite: for every rule "only X is admitted", it tries what is not X at every endpoint (docs/security.md)."""
