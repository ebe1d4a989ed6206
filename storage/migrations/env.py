"""Run by Alembic. The connection, its transaction and the lock are the caller's (storage.database)."""

from alembic import context

from storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
