"""Adds groups, hosts, pauses, and the table of projects that may start.

There is no way back but the backup that was made before.
"""

from alembic import op

from scheduler_modules.adapters.migrations import groups_schema, postgres_groups

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    connection = op.get_bind()
    is_postgres = connection.dialect.name == "postgresql"
    (postgres_groups if is_postgres else groups_schema).add_groups(connection)
