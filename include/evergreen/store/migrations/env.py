"""Alembic's entry: runs the revisions on the connection, and in the transaction, that the caller holds."""

from alembic import context

from evergreen.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
