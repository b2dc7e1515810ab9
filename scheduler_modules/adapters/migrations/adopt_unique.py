"""Rids one rival form of `project_queue` of a constraint that silently swallows rows.

`UNIQUE(spec_path, status) ON CONFLICT IGNORE`: a second failed project of a spec stays running for
ever, because the update that says so is ignored. Only building the table anew gets rid of it.
"""

import re

from sqlalchemy import Connection

from scheduler_modules.errors import DatabaseUnavailable

_NEW = "project_queue_rebuilt"
_HEAD = re.compile(r"create\s+table\s+[\"'`\[]?project_queue[\"'`\]]?\s*\(", re.IGNORECASE)
_CONSTRAINT = re.compile(
    r",\s*(?:constraint\s+\S+\s+)?unique\s*\(\s*[\"'`\[]?spec_path[\"'`\]]?\s*,"
    r"\s*[\"'`\[]?status[\"'`\]]?\s*\)(?:\s*on\s+conflict\s+\w+)?",
    re.IGNORECASE,
)


def drop_swallowing_constraint(connection: Connection) -> None:
    """Rebuild `project_queue` without it, if it is there: same columns, order, rows and ids.

    Raises:
        DatabaseUnavailable: that cannot be done safely; nothing was changed.
    """
    if not _has_constraint(connection, "project_queue"):
        return
    (original,) = _column(connection, "select sql from sqlite_master where name='project_queue'")
    without, cut = _CONSTRAINT.subn("", original)
    statement, named = _HEAD.subn(f"create table {_NEW} (", without, count=1)
    columns = _columns(connection, "project_queue")
    if cut != 1 or named != 1 or any(hidden for *_, hidden in columns):
        raise _unsafe(connection)
    connection.exec_driver_sql(statement)
    if _columns(connection, _NEW) != columns or _has_constraint(connection, _NEW):
        raise _unsafe(connection)
    _move_rows(connection, ", ".join(f'"{name}"' for _, name, *_ in columns))


def _move_rows(connection: Connection, columns: str) -> None:
    attached = _column(
        connection,
        "select sql from sqlite_master where tbl_name = 'project_queue' and sql is not null"
        " and type in ('index', 'trigger') order by type, name",
    )
    last_id = _column(connection, _LAST_ID) if _has_sequence(connection) else []
    for statement in (
        f"insert into {_NEW} ({columns}) select {columns} from project_queue",  # noqa: S608
        # Without this the last step would mend, or refuse, views and triggers that name the table.
        "pragma legacy_alter_table = on",
        "drop table project_queue",
        f"alter table {_NEW} rename to project_queue",
        "pragma legacy_alter_table = off",
        *attached,
    ):
        connection.exec_driver_sql(statement)
    # The highest id ever given, so that no id comes twice.
    for value in last_id:
        connection.exec_driver_sql("delete from sqlite_sequence where name = 'project_queue'")
        connection.exec_driver_sql(
            "insert into sqlite_sequence (name, seq) values ('project_queue', ?)", (value,)
        )


_LAST_ID = "select seq from sqlite_sequence where name = 'project_queue'"


def _has_sequence(connection: Connection) -> bool:
    return bool(_column(connection, "select 1 from sqlite_master where name = 'sqlite_sequence'"))


def _has_constraint(connection: Connection, table: str) -> bool:
    rows = connection.exec_driver_sql(
        "select l.name, c.name from pragma_index_list(?) l join pragma_index_info(l.name) c"
        " where l.origin = 'u'",
        (table,),
    )
    found: dict[str, set[str]] = {}
    for index, column in rows:
        found.setdefault(index, set()).add(column)
    return {"spec_path", "status"} in found.values()


def _columns(connection: Connection, table: str) -> list[tuple[object, ...]]:
    rows = connection.exec_driver_sql(f"pragma table_xinfo({table})")
    return [tuple(row) for row in rows]


def _column(connection: Connection, statement: str) -> list[str]:
    return [row[0] for row in connection.exec_driver_sql(statement)]


def _unsafe(connection: Connection) -> DatabaseUnavailable:
    (path,) = _column(connection, "select file from pragma_database_list where name = 'main'")
    return DatabaseUnavailable(
        f"{path}: its table project_queue has a UNIQUE (spec_path, status) that swallows rows and "
        "cannot be removed safely: make the table anew without it, or use another file"
    )
