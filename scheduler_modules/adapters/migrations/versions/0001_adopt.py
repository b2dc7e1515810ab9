"""Adopts a file of the old program, or an empty one: looks, and adds only what is missing.

There is no way back but the backup that was made before.
"""

from alembic import op

from scheduler_modules.adapters.migrations.adopt_schema import adopt
from scheduler_modules.adapters.migrations.adopt_unique import drop_swallowing_constraint
from scheduler_modules.adapters.migrations.postgres_schema import create_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        create_tables(connection)
        return
    drop_swallowing_constraint(connection)
    adopt(connection)
