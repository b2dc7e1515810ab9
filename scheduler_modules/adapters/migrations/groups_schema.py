"""The schema of revision 2: groups, hosts, pauses, and the table of projects that may start.

`project_ready` holds the queued projects that may start as far as rows alone tell: not held, no
run of theirs open or uncleaned, every dependency met. Those with a `not_before` may start from
then on. `project_running` holds the projects of named groups that are processing: what limits are
counted by. `project_refresh` decides both for one project. The triggers only say, by an insert
into it, about whom something may have changed, or do themselves what is done most often. So rows
that other programs write themselves count too.

The triggers run in those programs as well. They use only what every SQLite knows, and never `or
ignore` or `or replace`: the statement that fires a trigger would put its own word in their place.
A program's `insert or replace` takes a row away without a word to any trigger; readers therefore
join `project_queue`.
"""

from typing import Any

from sqlalchemy import Connection

from scheduler_modules.adapters.store_rows import name_of

_TABLES = (
    "alter table project_plan add column group_name text not null default ''",
    "alter table project_plan add column host text",
    "alter table project_plan add column held_at real",
    "alter table project_run add column is_pause_wanted integer not null default 0",
    "alter table project_run add column paused_boot_sec real",
    "alter table project_run add column paused_sec real not null default 0",
    """create table project_group (
    name text primary key,
    max_running integer,
    paused_at real
)""",
    "insert into project_group (name) values ('')",
    """create table project_ready (
    project_id integer primary key,
    group_name text not null,
    host text not null,
    priority integer not null,
    enqueued_at real not null,
    not_before real
)""",
    """create table project_running (
    project_id integer primary key,
    group_name text not null
)""",
)

# Each index that a row stands in costs every commit a page. These keep the names by which old
# programs look whether they are there, and leave out what another one finds.
_INDEXES = (
    "drop index if exists idx_project_queue_claim",
    "drop index if exists idx_project_queue_priority",
    """create index idx_project_queue_priority
    on project_queue(status, priority desc, enqueued_at, id)""",
    "drop index if exists idx_project_queue_status",
    """create index idx_project_queue_status
    on project_queue(status) where status not in ('queued', 'processing')""",
    "drop index if exists idx_project_queue_batch",
    """create index idx_project_queue_batch
    on project_queue(batch_id) where batch_id is not null""",
    "drop index if exists idx_project_queue_retry",
    """create index idx_project_queue_retry
    on project_queue(retry_count) where retry_count <> 0""",
    "drop index if exists idx_project_queue_main_session",
    """create index idx_project_queue_main_session
    on project_queue(main_session) where main_session is not null and status <> 'processing'""",
    "drop index if exists idx_project_run_project",
    """create index idx_project_run_finished
    on project_run(project_id) where ended_at is not null and cleaned_at is not null""",
    "create index idx_project_plan_name on project_plan(name collate nocase)",
    "create index idx_project_plan_group on project_plan(group_name) where group_name <> ''",
    """create index idx_project_ready_next
    on project_ready(group_name, host, priority desc, enqueued_at, project_id)
 where not_before is null""",
    "create index idx_project_running_group on project_running(group_name)",
    "create index idx_project_ready_due on project_ready(not_before) where not_before is not null",
)

_REFRESH = (
    "create view project_refresh as select project_id from project_ready",
    # A time that is text is read as UTC; here it only says who comes first.
    """create trigger project_refresh_one instead of insert on project_refresh begin
    delete from project_ready where project_id = new.project_id;
    delete from project_running where project_id = new.project_id;
    insert into project_running (project_id, group_name)
    select q.id, p.group_name
      from project_plan p join project_queue q on q.id = p.project_id
     where p.project_id = new.project_id and p.group_name <> ''
       and replace(lower(trim(q.status)), 'projectstate.', '') = 'processing';
    insert into project_ready (project_id, group_name, host, priority, enqueued_at, not_before)
    select q.id, coalesce(p.group_name, ''), coalesce(p.host, ''),
           cast(coalesce(q.priority, 0) as integer),
           case when typeof(q.enqueued_at) in ('real', 'integer') then q.enqueued_at
                else coalesce(strftime('%s', q.enqueued_at), 0) end,
           p.not_before
      from project_queue q left join project_plan p on p.project_id = q.id
     where q.id = new.project_id
       and replace(lower(trim(q.status)), 'projectstate.', '') = 'queued'
       and p.held_at is null
       and not exists (select 1 from project_run r
                        where r.project_id = q.id and (r.ended_at is null or r.cleaned_at is null))
       and not exists (select 1 from project_dependency d
                        where d.project_id = q.id
                          and coalesce((select replace(lower(trim(x.status)), 'projectstate.', '')
                                          from project_plan k
                                          join project_queue x on x.id = k.project_id
                                         where k.spec_key = d.spec_key
                                         order by k.project_id desc limit 1), '')
                              not in ('completed', 'recovered'));
end""",
)

_TRIGGERS = (
    # A group that was removed is there again as soon as one of its projects is to run again.
    """create trigger project_ready_added after insert on project_ready
    when new.group_name <> ''
     and not exists (select 1 from project_group where name = new.group_name)
begin
    insert into project_group (name) values (new.group_name);
end""",
    # A row has a plan already where it replaces one of the same id.
    """create trigger project_queue_added after insert on project_queue begin
    insert into project_refresh (project_id) values (new.id);
    insert into project_refresh (project_id)
    select d.project_id
      from project_plan p join project_dependency d on d.spec_key = p.spec_key
     where p.project_id = new.id;
end""",
    """create trigger project_queue_moved
    after update of status, priority, enqueued_at on project_queue
    when replace(lower(trim(new.status)), 'projectstate.', '') = 'queued'
     and (old.status is not new.status or old.priority is not new.priority
          or old.enqueued_at is not new.enqueued_at)
begin
    insert into project_refresh (project_id) values (new.id);
end""",
    """create trigger project_queue_left after update of status on project_queue
    when replace(lower(trim(coalesce(new.status, ''))), 'projectstate.', '') <> 'queued'
begin
    delete from project_ready where project_id = new.id;
    delete from project_running where project_id = new.id;
    insert into project_running (project_id, group_name)
    select project_id, group_name from project_plan
     where project_id = new.id and group_name <> ''
       and replace(lower(trim(new.status)), 'projectstate.', '') = 'processing';
end""",
    """create trigger project_queue_ended after update of status on project_queue
    when (replace(lower(trim(coalesce(old.status, ''))), 'projectstate.', '')
             in ('completed', 'recovered'))
      <> (replace(lower(trim(coalesce(new.status, ''))), 'projectstate.', '')
             in ('completed', 'recovered'))
begin
    insert into project_refresh (project_id)
    select d.project_id
      from project_plan p join project_dependency d on d.spec_key = p.spec_key
     where p.project_id = new.id;
end""",
    # Or a later row of the same id would find them; runs stay until their processes are gone.
    """create trigger project_queue_removed after delete on project_queue begin
    delete from project_ready where project_id = old.id;
    delete from project_running where project_id = old.id;
    delete from project_dependency where project_id = old.id;
    delete from project_plan where project_id = old.id;
end""",
    """create trigger project_plan_added after insert on project_plan
    when new.group_name <> '' or new.host is not null or new.held_at is not null
      or new.not_before is not null
begin
    insert into project_refresh (project_id) values (new.project_id);
end""",
    """create trigger project_plan_named after insert on project_plan
    when new.spec_key is not null
begin
    insert into project_refresh (project_id)
    select project_id from project_dependency where spec_key = new.spec_key;
end""",
    """create trigger project_plan_changed
    after update of group_name, host, held_at, not_before on project_plan
    when old.group_name is not new.group_name or old.host is not new.host
      or old.held_at is not new.held_at or old.not_before is not new.not_before
begin
    insert into project_refresh (project_id) values (new.project_id);
end""",
    """create trigger project_plan_keyed
    after update of spec_key on project_plan when old.spec_key is not new.spec_key
begin
    insert into project_refresh (project_id)
    select project_id from project_dependency where spec_key in (old.spec_key, new.spec_key);
end""",
    """create trigger project_plan_removed after delete on project_plan begin
    insert into project_refresh (project_id) values (old.project_id);
    insert into project_refresh (project_id)
    select project_id from project_dependency where spec_key = old.spec_key;
end""",
    """create trigger project_run_added after insert on project_run
    when new.ended_at is null or new.cleaned_at is null
begin
    delete from project_ready where project_id = new.project_id;
end""",
    """create trigger project_run_changed
    after update of project_id, ended_at, cleaned_at on project_run
    when (old.ended_at is null or old.cleaned_at is null)
           is not (new.ended_at is null or new.cleaned_at is null)
      or old.project_id is not new.project_id
begin
    insert into project_refresh (project_id) values (old.project_id);
    insert into project_refresh (project_id) values (new.project_id);
end""",
    """create trigger project_run_removed after delete on project_run begin
    insert into project_refresh (project_id) values (old.project_id);
end""",
    """create trigger project_dependency_added after insert on project_dependency begin
    insert into project_refresh (project_id) values (new.project_id);
end""",
    """create trigger project_dependency_removed after delete on project_dependency begin
    insert into project_refresh (project_id) values (old.project_id);
end""",
)

_FILL = (
    "delete from project_plan where project_id not in (select id from project_queue)",
    "delete from project_dependency where project_id not in (select id from project_queue)",
    """insert into project_plan (project_id)
select id from project_queue where id not in (select project_id from project_plan)""",
    """update project_plan
   set name = (select safe_name(cast(q.spec_path as blob)) from project_queue q
                where q.id = project_plan.project_id)
 where name is null""",
)

_FILL_READY = """insert into project_refresh (project_id)
select id from project_queue
 where replace(lower(trim(status)), 'projectstate.', '') in ('queued', 'processing')"""


def add_groups(connection: Connection) -> None:
    """Add what revision 2 has, and fill it from the rows that are there."""
    raw: Any = connection.connection.dbapi_connection
    raw.create_function("safe_name", 1, _safe_name)
    for statement in (*_TABLES, *_FILL, *_INDEXES, *_REFRESH, *_TRIGGERS, _FILL_READY):
        connection.exec_driver_sql(statement)


def _safe_name(spec_path: object) -> str | None:
    """Return the name of a project that has none, as it is read everywhere else."""
    if not isinstance(spec_path, bytes):
        return None
    return name_of(spec_path.decode("utf-8", "backslashreplace"))
