"""The log on PostgreSQL, for services on several machines."""
