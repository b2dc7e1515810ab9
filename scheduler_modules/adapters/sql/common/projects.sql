-- part: select_project
select q.id, q.spec_path, q.status, q.enqueued_at, p.name, q.project_path, q.started_at,
       q.completed_at, q.priority, q.error_message, q.batch_id, q.retry_count,
       q.enhanced_spec_path, q.session_name, q.main_session, q.orchestrator_session,
       q.fresh_start, p.base_dir, p.not_before, p.retries_used
  from project_queue q left join project_plan p on p.project_id = q.id

-- part: listing_order
order by q.priority desc, q.enqueued_at, q.id limit :limit

-- part: newest_order
order by q.id desc limit :limit

-- name: project
{select_project} where q.id = :id

-- name: projects
{select_project} {listing_order}

-- name: projects_newest
{select_project} {newest_order}

-- name: projects_of_batch
{select_project} where q.batch_id = :batch_id {listing_order}

-- name: projects_of_batch_newest
{select_project} where q.batch_id = :batch_id {newest_order}

-- name: raw_projects
-- Every column on purpose: what other programs added is shown too.
select * from project_queue order by priority desc, enqueued_at, id

-- name: counts
select status, count(*) from project_queue group by status

-- name: add_project<!
insert into project_queue
       (spec_path, project_path, status, enqueued_at, priority, batch_id, retry_count)
values (:spec_path, :project_path, 'queued', :enqueued_at, :priority, :batch_id, :retry_count)
returning id

-- name: put_plan!
-- Replaces what a project of the same id left behind: an old program deletes rows, never plans.
insert into project_plan (project_id, name, base_dir, spec_key, project_key, retries_used)
values (:project_id, :name, :base_dir, :spec_key, :project_key, 0)
on conflict (project_id) do update
   set name = excluded.name, base_dir = excluded.base_dir, spec_key = excluded.spec_key,
       project_key = excluded.project_key, not_before = null, retries_used = 0

-- name: save_plan!
-- Rows of old programs have no plan: one is made, without a key, once it has something to keep.
insert into project_plan (project_id, not_before, retries_used)
select :project_id, :not_before, :retries_used
 where :not_before is not null or :retries_used <> 0
    or exists (select 1 from project_plan where project_id = :project_id)
on conflict (project_id) do update
   set not_before = excluded.not_before, retries_used = excluded.retries_used

-- name: remove_plan!
delete from project_plan where project_id = :project_id

-- name: remove_dependencies!
delete from project_dependency where project_id = :project_id

-- name: remove_runs!
delete from project_run where project_id = :project_id

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

-- part: claimable
-- What follows a walk over queued rows of `project_queue q`: the first row that may run; each look
-- is by key.
   and not exists (select 1 from project_plan p
                    where p.project_id = q.id and p.not_before > :now)
   and not exists (select 1 from project_run r
                    where r.project_id = q.id and (r.ended_at is null or r.cleaned_at is null))
   and not exists (select 1 from project_dependency d
                    where d.project_id = q.id
                      and coalesce((select replace(lower(trim(x.status)), 'projectstate.', '')
                                      from project_plan k
                                      join project_queue x on x.id = k.project_id
                                     where k.spec_key = d.spec_key
                                     order by k.project_id desc limit 1), '')
                          not in ('completed', 'recovered'))
 order by q.priority desc, q.enqueued_at, q.id
 limit 1

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
