-- part: select_run
select id, project_id, attempt, token, host, daemon_id, session_name, phase, claimed_at, launches,
       session_id, main_pane_id, verify_pane_id, server_pid, server_started_at, started_at,
       boot_id, started_boot_sec, plan, reported, reported_note, exit_code, outcome, reason,
       ended_at, cleaned_at, is_pause_wanted, paused_boot_sec, paused_sec
  from project_run

-- name: add_run<!
insert into project_run
       (project_id, attempt, token, host, daemon_id, session_name, phase, claimed_at, launches,
        session_id, main_pane_id, verify_pane_id, server_pid, server_started_at, started_at,
        boot_id, started_boot_sec, plan, reported, reported_note, exit_code, outcome, reason,
        ended_at, cleaned_at, is_pause_wanted, paused_boot_sec, paused_sec)
values (:project_id, :attempt, :token, :host, :daemon_id, :session_name, :phase, :claimed_at,
        :launches, :session_id, :main_pane_id, :verify_pane_id, :server_pid, :server_started_at,
        :started_at, :boot_id, :started_boot_sec, :plan, :reported, :reported_note, :exit_code,
        :outcome, :reason, :ended_at, :cleaned_at, :is_pause_wanted, :paused_boot_sec, :paused_sec)
returning id

-- name: run
{select_run} where token = :token

-- name: runs_of
-- Each run stands in one of two indexes: what is finished, and what is not.
{select_run} where project_id = :project_id and (ended_at is null or cleaned_at is null)
union all
{select_run} where project_id = :project_id and ended_at is not null and cleaned_at is not null
order by id

-- part: where_open
 where (ended_at is null or cleaned_at is null) and ended_at is null
   and (cast(:host as text) is null or host = :host)
 order by id

-- part: where_uncleaned
 where (ended_at is null or cleaned_at is null) and ended_at is not null and host = :host
 order by id

-- name: save_run!
update project_run
   set attempt = :attempt, host = :host, daemon_id = :daemon_id, session_name = :session_name,
       phase = :phase, claimed_at = :claimed_at, launches = :launches, session_id = :session_id,
       main_pane_id = :main_pane_id, verify_pane_id = :verify_pane_id, server_pid = :server_pid,
       server_started_at = :server_started_at, started_at = :started_at, boot_id = :boot_id,
       started_boot_sec = :started_boot_sec, plan = :plan, reported = :reported,
       reported_note = :reported_note, exit_code = :exit_code, outcome = :outcome,
       reason = :reason, ended_at = :ended_at, cleaned_at = :cleaned_at,
       is_pause_wanted = :is_pause_wanted, paused_boot_sec = :paused_boot_sec,
       paused_sec = :paused_sec
 where token = :token and ended_at is null

-- name: mark_cleaned!
update project_run set cleaned_at = :at
 where token = :token and ended_at is not null and cleaned_at is null

-- name: remove_runs!
delete from project_run
 where id in (select id from project_run
               where project_id = :project_id and (ended_at is null or cleaned_at is null)
              union all
              select id from project_run
               where project_id = :project_id
                 and ended_at is not null and cleaned_at is not null)
