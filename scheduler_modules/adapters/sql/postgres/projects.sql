-- part: statuses_given
array(select json_array_elements_text(cast(:statuses as json)))

-- part: has_status
(q.status = any({statuses_given}) or (q.status is null and :with_null = 1))

-- part: word_there
-- Every stored status but null, each found from the one before by index.
word(status) as (
    select min(status) from project_queue
    union all
    select (select min(q.status) from project_queue q where q.status > word.status)
      from word where word.status is not null)

-- part: in_group
(cast(:group_name as text) is null
                 or coalesce((select group_name from project_plan where project_id = q.id), '')
                    = :group_name)

-- part: first_of_each_word
-- The page of each status by its index; then the page of all is a small sort.
select one.id from word cross join lateral
                       (select q.id from project_queue q where q.status = word.status and {in_group}
                        {listing_order}) one

-- name: projects
with recursive {word_there}
{select_project}
 where q.id in ({first_of_each_word}
                union all
                (select q.id from project_queue q where q.status is null and {in_group}
                 {listing_order}))
{listing_order}

-- name: projects_newest
{select_project} where {in_group} {newest_order}

-- name: projects_in
with word(status) as (select json_array_elements_text(cast(:statuses as json)))
{select_project}
 where q.id in ({first_of_each_word}
                union all
                (select q.id from project_queue q
                  where q.status is null and :with_null = 1 and {in_group} {listing_order}))
{listing_order}

-- name: projects_in_newest
{select_project} where {has_status} and {in_group} {newest_order}

-- part: of_batch
 where q.batch_id = :batch_id and {in_group}
   and (cast(:statuses as text) is null or {has_status})

-- name: projects_of_batch
{select_project} {of_batch} {listing_order}

-- name: projects_of_batch_newest
{select_project} {of_batch} {newest_order}

-- part: of_group
 where q.id in (select project_id from project_plan
                 where group_name = :group_name and group_name <> '')
   and (cast(:statuses as text) is null or {has_status})

-- name: projects_of_group
{select_project} {of_group} {listing_order}

-- name: projects_of_group_newest
{select_project} {of_group} {newest_order}

-- name: projects_named
{select_project}
 where q.id in (select project_id from project_plan
                 where lower(name) >= lower(:beginning) and lower(name) < lower(:beyond)
                 order by lower(name) = lower(:beginning) desc, project_id desc limit :limit)

-- name: projects_nameless
-- Rows that other programs added.
{select_project} where q.id in (select project_id from project_plan where name is null)

-- name: counts
select status, count(*) from project_queue group by status

-- name: same_spec
{select_project}
 where q.id in (select id from project_queue where spec_path = :spec_path
                union select project_id from project_plan where spec_key = :spec_key)
   and (q.project_path is not distinct from cast(:project_path as text)
        or (p.spec_key is not null
            and p.project_key is not distinct from cast(:project_key as text)))
   and {has_status}
{newest_order}

-- part: candidates
-- The best of the heads of each open group, for any host and for this one, and of what has become
-- due.
with open_group(name) as (
    select g.name
      from project_group g
     where g.paused_at is null
       and (g.max_running is null
            or g.max_running > (select count(*)
                                  from project_queue y
                                  left join project_plan z on z.project_id = y.id
                                 where y.status in {processing}
                                   and coalesce(z.group_name, '') = g.name))),
candidate(project_id, priority, enqueued_at) as (
    select head.project_id, head.priority, head.enqueued_at
      from open_group g
     cross join (select '' union select :host) wanted(host)
     cross join lateral
           (select h.project_id, h.priority, h.enqueued_at
              from project_ready h
             where h.group_name = g.name and h.host = wanted.host and h.not_before is null
             order by h.priority desc, h.enqueued_at, h.project_id limit 1) head
    union all
    select r.project_id, r.priority, r.enqueued_at
      from project_ready r join open_group g on g.name = r.group_name
     where r.not_before <= :now and r.host in ('', :host))

-- part: attempts
(select count(*) from project_run r where r.project_id = q.id and r.launches > 0)

-- part: from_best_candidate
from {project_tables}
 where q.id = (select project_id from candidate
                order by priority desc, enqueued_at, project_id limit 1)
   and not exists (select 1 from scheduler_state where key = 'paused_at' and value <> '')
   and (select count(*) from project_queue where status in {processing}) < :max_running

-- name: next_claimable
{candidates}
select {project_columns}, {attempts}
{from_best_candidate}

-- name: next_claimable_numbered
-- The same, with numbers for the run that will start and the fact that will tell of it.
{candidates}
select {project_columns}, {attempts},
       nextval('project_run_id_seq'), nextval('event_log_id_seq')
{from_best_candidate}

-- name: promote_due!
-- An array is looked up; of a query it would be guessed that a third of all rows is meant.
update project_plan set not_before = null
 where project_id = any(array(select project_id from project_ready where not_before <= :now))

-- name: save_project!
update project_queue
   set status = :status, enqueued_at = :enqueued_at, started_at = :started_at,
       completed_at = :completed_at, error_message = :error_message, retry_count = :retry_count,
       batch_id = :batch_id, priority = :priority, fresh_start = :fresh_start,
       session_name = :session_name, main_session = :session_name,
       orchestrator_session = :session_name
 where id = :id and status is not distinct from :stored_status

-- name: save_standing!
update project_queue
   set status = :status, started_at = :started_at, completed_at = :completed_at,
       error_message = :error_message, fresh_start = :fresh_start,
       session_name = :session_name, main_session = :session_name,
       orchestrator_session = :session_name
 where id = :id and status is not distinct from :stored_status

-- name: remove_project!
delete from project_queue where id = :id and status is not distinct from :stored_status

-- name: dependents
select distinct p.spec_key, d.project_id
  from project_dependency d
  join project_queue q on q.id = d.project_id
  join project_plan p on p.project_id = d.project_id
 where d.spec_key = :spec_key and p.spec_key is not null
   and q.status = any({statuses_given})
 order by p.spec_key, d.project_id
