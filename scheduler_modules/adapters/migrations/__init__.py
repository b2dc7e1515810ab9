"""The Alembic environment of the queue's tables; loaded only when a schema is behind."""
