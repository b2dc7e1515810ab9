-- part: ended_badly
('failed', 'permanently_failed', 'retried', 'cancelled', 'superseded', 'archived')

-- name: waiting_in_vain
-- From the dependencies: what waits for nothing costs nothing.
{select_project}
 where q.id in (select d.project_id
                  from project_dependency d
                  join project_queue w on w.id = d.project_id and w.status in {queued}
                  left join project_queue newest
                    on newest.id = (select x.id
                                      from project_plan k join project_queue x on x.id = k.project_id
                                     where k.spec_key = d.spec_key
                                     order by k.project_id desc limit 1)
                 where newest.id is null
                    or replace(lower(trim(newest.status)), 'projectstate.', '') in {ended_badly})
{listing_order}

-- name: held_count
select count(*)
  from project_queue q join project_plan p on p.project_id = q.id
 where q.status in {queued} and p.held_at is not null

-- name: counts_of
select q.status, count(*)
  from {project_tables}
 where (cast(:batch_id as text) is null or q.batch_id = :batch_id)
   and (cast(:group_name as text) is null or coalesce(p.group_name, '') = :group_name)
 group by q.status
