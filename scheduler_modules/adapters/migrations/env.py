"""Runs the revisions on the connection and inside the transaction that `migrate` has opened."""

from alembic import context

from scheduler_modules.adapters.database_check import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
