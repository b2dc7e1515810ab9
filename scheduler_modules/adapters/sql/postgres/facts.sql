-- name: put_fact!
-- `add_fact` with a number that was taken before.
insert into event_log (id, at, name, project_id, run_id, detail)
values (:id, :at, :name, :project_id, :run_id, :detail)
