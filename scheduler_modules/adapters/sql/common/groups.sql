-- name: groups
select name, max_running, paused_at from project_group order by name

-- name: save_group!
insert into project_group (name, max_running, paused_at) values (:name, :max_running, :paused_at)
on conflict (name) do update
   set max_running = excluded.max_running, paused_at = excluded.paused_at

-- name: make_group!
insert into project_group (name) values (:name) on conflict (name) do nothing

-- name: remove_group!
-- The default group stays, and so does one that has projects which have not ended.
delete from project_group
 where name = :name and name <> ''
   and not exists (select 1
                     from project_plan p join project_queue q on q.id = p.project_id
                    where p.group_name = :name and p.group_name <> ''
                      and replace(lower(trim(q.status)), 'projectstate.', '')
                          in ('queued', 'processing', 'timing_out', 'zombie', 'credit_paused'))
