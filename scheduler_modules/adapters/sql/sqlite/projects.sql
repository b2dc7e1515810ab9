-- part: word_given
word(status) as (
    select value from json_each(:statuses) union all select null where :with_null)

-- part: word_there
-- Every stored status, each found from the one before by index; the last one is null.
word(status) as (
    select min(status) from project_queue
    union all
    select (select min(q.status) from project_queue q where q.status > word.status)
      from word where word.status is not null)

-- part: in_group
(:group_name is null
                      or coalesce((select group_name from project_plan where project_id = q.id), '')
                         = :group_name)

-- part: first_of_each_word
select i.value
           from word,
                json_each((select json_group_array(one.id)
                             from (select q.id from project_queue q
                                    where q.status is word.status and {in_group}
                                    {listing_order}) one)) i

-- part: newest_of_each_word
-- Two walks, because two indexes share the statuses between them.
select i.value
           from (select status from word where status not in ('queued', 'processing')) w,
                json_each((select json_group_array(one.id)
                             from (select q.id from project_queue q
                                    where q.status = w.status
                                      and q.status not in ('queued', 'processing') and {in_group}
                                    {newest_order}) one)) i
         union all
         select i.value
           from (select status from word
                  where status is null or status in ('queued', 'processing')) w,
                json_each((select json_group_array(one.id)
                             from (select q.id from project_queue q
                                    where q.status is w.status and {in_group}
                                    {newest_order}) one)) i

-- name: projects
with recursive {word_there}
{select_project} where q.id in ({first_of_each_word}) {listing_order}

-- name: projects_newest
{select_project} where {in_group} {newest_order}

-- name: projects_in
-- `statuses` is a JSON list of spellings; rows without a status belong to it if `with_null` is 1.
with {word_given}
{select_project} where q.id in ({first_of_each_word}) {listing_order}

-- name: projects_in_newest
with {word_given}
{select_project} where q.id in ({newest_of_each_word}) {newest_order}

-- part: of_batch
 where q.batch_id = :batch_id
   and (:group_name is null or coalesce(p.group_name, '') = :group_name)
   and (:statuses is null or q.status in (select value from json_each(:statuses))
        or (q.status is null and :with_null))

-- name: projects_of_batch
{select_project} {of_batch} {listing_order}

-- name: projects_of_batch_newest
{select_project} {of_batch} {newest_order}

-- part: of_group
 where q.id in (select project_id from project_plan
                 where group_name = :group_name and group_name <> '')
   and (:statuses is null or q.status in (select value from json_each(:statuses))
        or (q.status is null and :with_null))

-- name: projects_of_group
{select_project} {of_group} {listing_order}

-- name: projects_of_group_newest
{select_project} {of_group} {newest_order}

-- name: projects_named
{select_project}
 where q.id in (select project_id from project_plan
                 where name collate nocase >= :beginning and name collate nocase < :beyond
                 order by name collate nocase = :beginning desc, project_id desc limit :limit)

-- name: projects_nameless
-- Rows that old programs added. Usually there are none, which two counts tell.
{select_project}
 where (select count(*) from project_queue) <> (select count(*) from project_plan)
   and p.name is null

-- name: counts
with recursive {word_there}
select word.status, (select count(*) from project_queue q where q.status is word.status)
  from word

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
-- The best of the heads of each open group, for any host and for this one, and of what has become
-- due. The join with `project_queue` passes over a row that another program replaced unseen.
with candidate(project_id, priority, enqueued_at) as (
    select r.project_id, r.priority, r.enqueued_at
      from project_group g
      join project_ready r
        on r.project_id in (
               (select h.project_id
                  from project_ready h cross join project_queue x on x.id = h.project_id
                 where h.group_name = g.name and h.host = '' and h.not_before is null
                 order by h.priority desc, h.enqueued_at, h.project_id limit 1),
               (select h.project_id
                  from project_ready h cross join project_queue x on x.id = h.project_id
                 where h.group_name = g.name and h.host = :host and h.not_before is null
                 order by h.priority desc, h.enqueued_at, h.project_id limit 1))
     where {group_is_open}
    union all
    select r.project_id, r.priority, r.enqueued_at
      from project_ready r
      join project_queue x on x.id = r.project_id
      join project_group g on g.name = r.group_name
     where r.not_before <= :now and r.host in ('', :host) and {group_is_open})
select {project_columns},
       (select count(*) from project_run r
         where r.project_id = q.id and r.ended_at is not null and r.cleaned_at is not null
           and r.launches > 0)
  from {project_tables}
 where q.id = (select project_id from candidate
                order by priority desc, enqueued_at, project_id limit 1)
   and not exists (select 1 from scheduler_state where key = 'paused_at' and value <> '')
   and {slot_is_free}

-- part: slot_is_free
-- A limit beyond all ids there are needs no counting.
(:max_running > (select max(id) from project_queue)
        or (select count(*) from project_queue where status in {processing}) < :max_running)

-- part: group_is_open
g.paused_at is null and (g.max_running is null or g.max_running > {running_in_group})

-- name: promote_due!
update project_plan set not_before = null
 where project_id in (select project_id from project_ready where not_before <= :now)

-- name: save_project!
update project_queue
   set status = :status, enqueued_at = :enqueued_at, started_at = :started_at,
       completed_at = :completed_at, error_message = :error_message, retry_count = :retry_count,
       batch_id = :batch_id, priority = :priority, fresh_start = :fresh_start,
       session_name = :session_name, main_session = :session_name,
       orchestrator_session = :session_name
 where id = :id and status is :stored_status

-- name: save_standing!
-- What changes most often; columns that are not named leave their indexes alone.
update project_queue
   set status = :status, started_at = :started_at, completed_at = :completed_at,
       error_message = :error_message, fresh_start = :fresh_start,
       session_name = :session_name, main_session = :session_name,
       orchestrator_session = :session_name
 where id = :id and status is :stored_status

-- name: remove_project!
delete from project_queue where id = :id and status is :stored_status

-- name: dependents
select distinct p.spec_key, d.project_id
  from project_dependency d
  join project_queue q on q.id = d.project_id
  join project_plan p on p.project_id = d.project_id
 where d.spec_key = :spec_key and p.spec_key is not null
   and q.status in (select value from json_each(:statuses))
 order by p.spec_key, d.project_id
