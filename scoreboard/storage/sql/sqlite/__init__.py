"""SQLite: the award path, the file's identity, backups and statements."""
