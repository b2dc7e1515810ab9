"""What revision 2 adds, on PostgreSQL; `groups_schema` tells what it is for.

The triggers answer one question each: whose readiness may have changed? Where a change can only
mean "not ready any more" they take the row away themselves, which is most of what a claim does.
"""

from sqlalchemy import Connection

_TABLES = """
alter table project_plan
    add column group_name text collate "C" not null default '',
    add column host text collate "C",
    add column held_at double precision;
alter table project_run
    add column is_pause_wanted bigint not null default 0,
    add column paused_boot_sec double precision,
    add column paused_sec double precision not null default 0;
create table project_group (
    name text collate "C" primary key,
    max_running bigint,
    paused_at double precision
);
insert into project_group (name) values ('');
create table project_ready (
    project_id bigint primary key,
    group_name text collate "C" not null,
    host text collate "C" not null,
    priority bigint not null,
    enqueued_at double precision not null,
    not_before double precision
);
create index idx_project_queue_list on project_queue(status, priority desc, enqueued_at, id);
create index idx_project_plan_name on project_plan(lower(name));
create index idx_project_plan_nameless on project_plan(project_id) where name is null;
create index idx_project_plan_group on project_plan(group_name) where group_name <> '';
create index idx_project_ready_next
    on project_ready(group_name, host, priority desc, enqueued_at, project_id)
 where not_before is null;
create index idx_project_ready_due on project_ready(not_before) where not_before is not null;
"""

_FUNCTIONS = """
create function project_word(status text) returns text language sql immutable parallel safe
return replace(lower(trim(status)), 'projectstate.', '');

create function project_is_met(status text) returns boolean language sql immutable parallel safe
return coalesce(replace(lower(trim(status)), 'projectstate.', ''), '')
       in ('completed', 'recovered');

create function project_refresh(wanted bigint) returns void language plpgsql as $$
begin
    delete from project_ready where project_id = wanted;
    insert into project_ready (project_id, group_name, host, priority, enqueued_at, not_before)
    select q.id, coalesce(p.group_name, ''), coalesce(p.host, ''), q.priority, q.enqueued_at,
           p.not_before
      from project_queue q left join project_plan p on p.project_id = q.id
     where q.id = wanted and project_word(q.status) = 'queued' and p.held_at is null
       and not exists (select 1 from project_run r
                        where r.project_id = wanted
                          and (r.ended_at is null or r.cleaned_at is null))
       and not exists (select 1 from project_dependency d
                        where d.project_id = wanted
                          and not project_is_met(
                                  (select x.status
                                     from project_plan k join project_queue x on x.id = k.project_id
                                    where k.spec_key = d.spec_key
                                    order by k.project_id desc limit 1)));
end $$;

create function project_refresh_waiting(changed text) returns void language plpgsql as $$
begin
    perform project_refresh(project_id) from project_dependency where spec_key = changed;
end $$;
"""

_TRIGGERS = """
create function project_queue_added() returns trigger language plpgsql as $$
begin
    insert into project_plan (project_id) values (new.id) on conflict (project_id) do nothing;
    perform project_refresh(new.id);
    return null;
end $$;
create trigger project_queue_added after insert on project_queue
   for each row execute function project_queue_added();

create function project_queue_moved() returns trigger language plpgsql as $$
begin
    if project_word(new.status) = 'queued' then
        perform project_refresh(new.id);
    else
        delete from project_ready where project_id = new.id;
    end if;
    if project_is_met(old.status) <> project_is_met(new.status) then
        perform project_refresh_waiting(spec_key) from project_plan where project_id = new.id;
    end if;
    return null;
end $$;
create trigger project_queue_moved
 after update of status, priority, enqueued_at on project_queue for each row
  when (old.status is distinct from new.status or old.priority is distinct from new.priority
        or old.enqueued_at is distinct from new.enqueued_at)
       execute function project_queue_moved();

-- Or a later row of the same id would find them; runs stay until their processes are gone.
create function project_queue_removed() returns trigger language plpgsql as $$
begin
    delete from project_ready where project_id = old.id;
    delete from project_dependency where project_id = old.id;
    delete from project_plan where project_id = old.id;
    return null;
end $$;
create trigger project_queue_removed after delete on project_queue
   for each row execute function project_queue_removed();

create function project_plan_changed() returns trigger language plpgsql as $$
begin
    if tg_op <> 'INSERT' then
        perform project_refresh(old.project_id);
        if tg_op = 'DELETE' or old.spec_key is distinct from new.spec_key then
            perform project_refresh_waiting(old.spec_key);
        end if;
    end if;
    if tg_op <> 'DELETE' then
        perform project_refresh(new.project_id);
        if tg_op = 'INSERT' or old.spec_key is distinct from new.spec_key then
            perform project_refresh_waiting(new.spec_key);
        end if;
    end if;
    return null;
end $$;
create trigger project_plan_added after insert or delete on project_plan
   for each row execute function project_plan_changed();
create trigger project_plan_changed
 after update of spec_key, group_name, host, held_at, not_before on project_plan for each row
  when (old.spec_key is distinct from new.spec_key
        or old.group_name is distinct from new.group_name or old.host is distinct from new.host
        or old.held_at is distinct from new.held_at
        or old.not_before is distinct from new.not_before)
       execute function project_plan_changed();

create function project_run_added() returns trigger language plpgsql as $$
begin
    if new.ended_at is null or new.cleaned_at is null then
        delete from project_ready where project_id = new.project_id;
    end if;
    return null;
end $$;
create trigger project_run_added after insert on project_run
   for each row execute function project_run_added();

create function project_run_changed() returns trigger language plpgsql as $$
begin
    perform project_refresh(old.project_id);
    return null;
end $$;
create trigger project_run_changed after update of ended_at, cleaned_at on project_run for each row
  when ((old.ended_at is null or old.cleaned_at is null)
        <> (new.ended_at is null or new.cleaned_at is null))
       execute function project_run_changed();
create trigger project_run_removed after delete on project_run
   for each row execute function project_run_changed();

create function project_dependency_changed() returns trigger language plpgsql as $$
begin
    perform project_refresh(case tg_op when 'DELETE' then old.project_id else new.project_id end);
    return null;
end $$;
create trigger project_dependency_changed after insert or delete on project_dependency
   for each row execute function project_dependency_changed();
"""


def add_groups(connection: Connection) -> None:
    """Add what revision 2 has, and fill it from the rows that are there."""
    for statements in (_TABLES, _FUNCTIONS, _TRIGGERS):
        connection.exec_driver_sql(statements, execution_options={"no_parameters": True})
    connection.exec_driver_sql(
        "insert into project_plan (project_id)"
        " select id from project_queue on conflict (project_id) do nothing"
    )
    connection.exec_driver_sql("select project_refresh(id) from project_queue")
