-- name: add_task<!
insert into tasks (session_name, agent_role, window_index, next_run, interval_minutes, note,
                   last_run, created_at, retry_count)
values (:session_name, :agent_role, :window_index, :next_run, :interval_minutes, :note,
        :last_run, :created_at, :retry_count)
returning id

-- name: tasks
select id, session_name, agent_role, window_index, next_run, interval_minutes, note, last_run,
       created_at, retry_count
  from tasks

-- name: remove_task!
delete from tasks where id = :id

-- name: get_state
select value from scheduler_state where key = :key

-- name: set_state!
insert into scheduler_state (key, value) values (:key, :value)
on conflict (key) do update set value = excluded.value
