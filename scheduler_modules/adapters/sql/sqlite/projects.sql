-- name: projects_in
-- `statuses` is a JSON list of spellings; rows without a status belong to it if `with_null` is 1.
{select_project}
 where (q.status in (select value from json_each(:statuses)) or (q.status is null and :with_null))
   and (:batch_id is null or q.batch_id = :batch_id)
{listing_order}

-- name: projects_in_newest
{select_project}
 where (q.status in (select value from json_each(:statuses)) or (q.status is null and :with_null))
   and (:batch_id is null or q.batch_id = :batch_id)
{newest_order}

-- name: same_spec
-- Two lookups by index, united: an OR over two tables would read both from end to end. A plan
-- without a key belongs to a row of an old program and says nothing of its folder.
{select_project}
 where q.id in (select id from project_queue where spec_path = :spec_path
                union select project_id from project_plan where spec_key = :spec_key)
   and (q.project_path is :project_path
        or (p.spec_key is not null and p.project_key is :project_key))
   and (q.status in (select value from json_each(:statuses)) or (q.status is null and :with_null))
{newest_order}

-- name: next_claimable
-- Without statistics SQLite would sort all queued rows rather than walk this index.
select q.id from project_queue q indexed by idx_project_queue_claim
 where q.status = 'queued'
{claimable}

-- name: next_claimable_misspelled
-- Rows that an old program queued as QUEUED or ProjectState.QUEUED.
select q.id from project_queue q
 where q.status in (select value from json_each(:statuses)) and q.status <> 'queued'
{claimable}

-- name: save_project!
update project_queue
   set status = :status, enqueued_at = :enqueued_at, started_at = :started_at,
       completed_at = :completed_at, error_message = :error_message, retry_count = :retry_count,
       batch_id = :batch_id, priority = :priority, fresh_start = :fresh_start,
       session_name = :session_name, main_session = :session_name,
       orchestrator_session = :session_name
 where id = :id and status is :stored_status

-- name: remove_project!
delete from project_queue where id = :id and status is :stored_status

-- name: dependents
select distinct p.spec_key
  from project_dependency d
  join project_queue q on q.id = d.project_id
  join project_plan p on p.project_id = d.project_id
 where d.spec_key = :spec_key and p.spec_key is not null
   and q.status in (select value from json_each(:statuses))
 order by p.spec_key
