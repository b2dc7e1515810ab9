-- part: project_columns
q.id, q.spec_path, q.status, q.enqueued_at, p.name, q.project_path, q.started_at, q.completed_at,
       q.priority, q.error_message, q.batch_id, q.retry_count, q.enhanced_spec_path,
       q.session_name, q.main_session, q.orchestrator_session, q.fresh_start, p.base_dir,
       p.not_before, p.retries_used, p.group_name, p.host, p.held_at

-- part: project_tables
project_queue q left join project_plan p on p.project_id = q.id

-- part: select_project
select {project_columns}
  from {project_tables}

-- part: listing_order
order by q.priority desc, q.enqueued_at, q.id limit :limit

-- part: newest_order
order by q.id desc limit :limit

-- part: queued
-- The spellings of `store_rows.spellings`, so that an index finds them.
('queued', 'QUEUED', 'Queued', 'ProjectState.QUEUED', 'PROJECTSTATE.QUEUED', 'projectstate.queued')

-- part: processing
('processing', 'PROCESSING', 'Processing', 'ProjectState.PROCESSING', 'PROJECTSTATE.PROCESSING',
        'projectstate.processing')

-- name: project
{select_project} where q.id = :id

-- name: raw_projects
-- Every column on purpose: what other programs added is shown too.
select * from project_queue order by priority desc, enqueued_at, id

-- name: add_project<!
insert into project_queue
       (spec_path, project_path, status, enqueued_at, priority, batch_id, retry_count)
values (:spec_path, :project_path, 'queued', :enqueued_at, :priority, :batch_id, :retry_count)
returning id

-- name: put_plan!
insert into project_plan
       (project_id, name, base_dir, spec_key, project_key, not_before, group_name, host, held_at)
values (:project_id, :name, :base_dir, :spec_key, :project_key, :not_before, :group_name, :host,
        :held_at)
on conflict (project_id) do update
   set name = excluded.name, base_dir = excluded.base_dir, spec_key = excluded.spec_key,
       project_key = excluded.project_key, not_before = excluded.not_before, retries_used = 0,
       group_name = excluded.group_name, host = excluded.host, held_at = excluded.held_at

-- name: save_plan!
insert into project_plan (project_id, not_before, retries_used, group_name, host, held_at)
values (:project_id, :not_before, :retries_used, :group_name, :host, :held_at)
on conflict (project_id) do update
   set not_before = excluded.not_before, retries_used = excluded.retries_used,
       group_name = excluded.group_name, host = excluded.host, held_at = excluded.held_at

-- name: hold_project!
insert into project_plan (project_id, retries_used, held_at)
values (:project_id, 0, :held_at)
on conflict (project_id) do update set held_at = excluded.held_at

-- name: remove_plan!
delete from project_plan where project_id = :project_id

-- name: remove_dependencies!
delete from project_dependency where project_id = :project_id

-- name: active_twin
-- Another active project of the same spec and folder: the one a unique index speaks of.
select id from project_queue
 where spec_path = :spec_path and project_path = :project_path
   and status in ('queued', 'processing') and id <> :id
 order by id limit 1

-- name: session_twin
select id from project_queue
 where main_session = :session_name and status = 'processing' and id <> :id
 order by id limit 1

-- name: next_due
select min(not_before) from project_ready where not_before is not null

-- name: spec_key
select spec_key from project_plan where project_id = :project_id

-- name: add_dependency!
insert into project_dependency (project_id, position, spec_key)
values (:project_id, :position, :spec_key)

-- name: dependencies
select d.spec_key, newest.id, newest.status
  from project_dependency d
  left join project_queue newest
    on newest.id = (select x.id from project_plan k join project_queue x on x.id = k.project_id
                     where k.spec_key = d.spec_key order by k.project_id desc limit 1)
 where d.project_id = :project_id
 order by d.position
