-- name: add_fact<!
insert into event_log (at, name, project_id, run_id, detail)
values (:at, :name, :project_id, :run_id, :detail)
returning id

-- name: facts
select id, at, name, project_id, run_id, detail from event_log
 where id > :after_id order by id limit :limit

-- name: facts_of_project
select id, at, name, project_id, run_id, detail from event_log
 where project_id = :project_id and id > :after_id order by id limit :limit

-- name: cursor
select fact_id from event_cursor where listener = :listener

-- name: set_cursor!
insert into event_cursor (listener, fact_id) values (:listener, :fact_id)
on conflict (listener) do update set fact_id = excluded.fact_id
