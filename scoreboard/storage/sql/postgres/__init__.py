"""PostgreSQL: the award path by libpq's pipeline, sessions and statements."""
