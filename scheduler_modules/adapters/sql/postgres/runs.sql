-- name: open_runs
{select_run} {where_open}

-- name: uncleaned_runs
{select_run} {where_uncleaned}

-- name: start_run!
-- `save_standing` and `add_run` in one, with a number that was taken before. Where the project has
-- been changed by somebody, there is no run to insert but one without a project: an error.
with started as (
    update project_queue
       set status = :status, started_at = :started_at, completed_at = :completed_at,
           error_message = :error_message, fresh_start = :fresh_start,
           session_name = :session_name, main_session = :session_name,
           orchestrator_session = :session_name
     where id = :id and status is not distinct from :stored_status
    returning id)
insert into project_run
       (id, project_id, attempt, token, host, daemon_id, session_name, phase, claimed_at, launches,
        session_id, main_pane_id, verify_pane_id, server_pid, server_started_at, started_at,
        boot_id, started_boot_sec, plan, reported, reported_note, exit_code, outcome, reason,
        ended_at, cleaned_at, is_pause_wanted, paused_boot_sec, paused_sec)
select :run_id, (select id from started), :run_attempt, :run_token, :run_host, :run_daemon_id,
       :run_session_name, :run_phase, :run_claimed_at, :run_launches, :run_session_id, :run_main_pane_id, :run_verify_pane_id,
       :run_server_pid, :run_server_started_at, :run_started_at, :run_boot_id,
       :run_started_boot_sec, :run_plan, :run_reported, :run_reported_note, :run_exit_code,
       :run_outcome, :run_reason, :run_ended_at, :run_cleaned_at, :run_is_pause_wanted,
       :run_paused_boot_sec, :run_paused_sec
