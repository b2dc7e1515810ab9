"""The old class and the old command line. No logic: one table says who owns each method now."""

from scheduler_modules.legacy.scheduler_class import LegacyScheduler
from scheduler_modules.model import ProjectState

__all__ = ["HANDED_OVER", "ProjectState", "TmuxOrchestratorScheduler", "main"]

# Old name, owner, migration phase.
HANDED_OVER = (
    ("setup_database", "queue_manager.setup_database", "3"),
    ("enqueue_project", "queue_manager.enqueue_project", "3"),
    ("get_next_project_atomic", "queue_manager.get_next_project_atomic", "3"),
    ("get_next_project", "queue_manager.get_next_project", "3"),
    ("update_project_status", "queue_manager.update_project_status", "3"),
    (
        "update_project_status_with_state",
        "queue_manager.update_project_status_with_state",
        "3",
    ),
    ("get_current_state", "queue_manager.get_current_state", "3"),
    ("mark_project_complete", "queue_manager.mark_project_complete", "3"),
    ("reset_project_to_queued", "queue_manager.reset_project_to_queued", "3"),
    (
        "check_and_reset_specific_project",
        "recovery_manager.check_and_reset_specific_project",
        "2",
    ),
    ("remove_project_from_queue", "queue_manager.remove_project_from_queue", "3"),
    ("update_session_name", "queue_manager.update_session_name", "3"),
    ("enqueue_task", "checkin_manager.enqueue_task", "3"),
    ("remove_task", "checkin_manager.remove_task", "3"),
    ("list_tasks", "checkin_manager.list_tasks", "3"),
    ("cleanup_old_tasks", "checkin_manager.cleanup_old_tasks", "3"),
    ("check_and_run_tasks", "later: checkin_manager delivers check-ins", "2/4"),
    ("run_task", "later: checkin_manager delivers check-ins", "2/4"),
    ("complete_task", "later: checkin_manager delivers check-ins", "3"),
    ("_handle_task_completion", "later: the table of listeners in core_scheduler", "3"),
    ("subscribe", "event_dispatcher.subscribe", "3"),
    ("_dispatch_event", "event_dispatcher.dispatch", "3"),
    ("trigger_event", "later: event_dispatcher with a rate limit", "3"),
    ("publish_event", "later: event_dispatcher with a rate limit", "3"),
    ("_on_project_complete", "later: batch_processor retries batches", "2"),
    ("check_batch_completion", "later: batch_processor retries batches", "2"),
    ("_is_batch_complete", "batch_processor.is_batch_complete", "2"),
    ("_handle_batch_completion", "later: batch_processor retries batches", "2"),
    ("_get_failed_projects", "batch_processor.failed_projects", "2"),
    ("_run_research_agent", "later: batch_processor retries batches", "2"),
    ("_escalate_batch_failures", "later: batch_processor and mail", "2/4"),
    ("check_credits", "settings.check_credits", "1"),
    ("_monitor_batches", "later: the steps of core_scheduler", "2"),
    (
        "detect_and_reset_phantom_projects",
        "session_monitor.detect_and_reset_phantom_projects",
        "2",
    ),
    ("_reset_phantom_project", "session_monitor.reset_phantom_project", "2"),
    ("validate_session_liveness", "later: session_monitor judges sessions", "2"),
    ("_check_session_directly", "later: session_monitor judges sessions", "2"),
    ("_scan_active_sessions_for_project", "later: session_monitor judges sessions", "2"),
    ("_is_valid_project_session", "later: session_monitor judges sessions", "2"),
    ("_is_system_session", "later: session_monitor judges sessions", "2"),
    ("_is_session_healthy", "later: session_monitor judges sessions", "2"),
    ("_attempt_session_name_recovery", "later: session_monitor finds lost names", "2"),
    ("discover_and_update_session_names", "later: session_monitor finds lost names", "2"),
    ("_session_exists", "utils.session_exists", "1"),
    ("_is_session_ready", "later: session_monitor judges sessions", "1"),
    ("_find_lingering_sessions", "later: session_monitor judges sessions", "1"),
    ("_get_session_age", "utils.get_session_age", "1"),
    ("get_active_tmux_sessions", "utils.get_active_tmux_sessions", "1"),
    ("check_stuck_projects", "later: session_monitor acts on stuck projects", "2"),
    ("is_stuck_or_zombie", "recovery_manager.is_stuck_or_zombie", "2"),
    ("mark_as_zombie", "recovery_manager.mark_as_zombie", "2"),
    ("force_cleanup", "later: recovery_manager", "2"),
    ("get_recovery_diagnostics", "recovery_manager.get_recovery_diagnostics", "2"),
    ("_recover_from_reboot", "later: recovery_manager", "2"),
    ("_detect_reboot_or_downtime", "later: recovery_manager", "2"),
    ("_attempt_auto_resume", "later: recovery_manager", "2"),
    ("detect_completed_projects", "later: session_monitor", "2"),
    ("check_project_completions", "later: session_monitor", "2"),
    ("_auto_schedule_check_ins", "later: checkin_manager delivers check-ins", "3"),
    ("get_agent_credit_status", "state_synchronizer_wrapper.agent_credit_status", "2"),
    ("_run_state_sync", "later: state_synchronizer_wrapper", "2"),
    ("_reconcile_orphaned_sessions", "later: session_monitor", "2"),
    ("process_signal_files", "notification_manager.process_signal_files", "4"),
    ("has_active_orchestrations", "process_manager_wrapper.has_active_orchestrations", "2"),
    ("_heartbeat_thread", "gone: a daemon says in its own loop that it lives", "2"),
    ("_check_dependencies", "dependency_checker.verify_all_dependencies", "1"),
    ("run", "core_scheduler.run", "2/4"),
    ("run_queue_daemon", "core_scheduler.run_queue_daemon", "2/4"),
    ("stop_monitoring", "core_scheduler.stop_monitoring", "2/4"),
    ("shutdown", "core_scheduler.shutdown", "2/4"),
    ("_signal_handler", "gone: only a daemon handles signals", "2/4"),
    ("_acquire_process_lock", "gone: only a daemon takes a lock", "5"),
    ("_release_process_lock", "gone: only a daemon takes a lock", "5"),
)


class TmuxOrchestratorScheduler(LegacyScheduler, handed_over=HANDED_OVER):
    """The old class: constructing it opens the database and nothing else."""


def main() -> int:
    """Run the command line of this process; return its exit code."""
    from scheduler_entrypoint import main as entry

    return entry(cwd_is_home=True)


if __name__ == "__main__":
    raise SystemExit(main())
