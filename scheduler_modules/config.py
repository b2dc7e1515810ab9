"""The one typed, frozen configuration. Nothing is read on import: call `load_config`."""

from pathlib import Path

import msgspec


class SchedulerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Effective settings. The variable of each field is its name in upper case unless told.

    Sources, the first that speaks wins: environment, `<home>/.env`, `<home>/config.toml`,
    default.
    """

    home: Path
    """TMUX_ORCHESTRATOR_HOME: database, locks, logs, sockets, run files."""
    scheduler_db_url: str
    """`sqlite:///<absolute path>`; QUEUE_DB_PATH names the same file in the old way."""
    tmux_socket: str = ""
    """Empty: a server of our own at `<home>/run/tmux.sock`. `default`: the user's own server. A
    path (`-S`) or a plain name (`-L`)."""
    max_concurrent_projects: int = 1
    project_command: str = ""
    """What window 0 runs when a spec names no command; placeholders as in specs."""
    project_agent: str = "claude"
    """The agent profile used when there is neither."""
    launcher_command: str = ""
    """External launcher (argv template) that makes each project's session itself; empty: ours."""
    launcher_session_wait_sec: int = 30
    """How long an external launcher that ended with 0 may take to show a living session."""
    keep_sessions: str = "failed"
    """`none`, `failed` or `all`: which ended sessions stay to be looked at (nothing runs in them)."""
    keep_sessions_hours: float = 24
    default_retries: int = 0
    retry_delay_sec: float = 30
    """First back-off; doubles with each retry up to 600 s."""
    kill_grace_sec: float = 10
    log_cap_bytes: int = 1_048_576
    """Per window: this much of the beginning and twice this much of the end are kept."""
    tmux_timeout_sec: float = 5
    tick_sec: float = 0.5
    host_name: str = ""
    """Empty: the machine's own."""
    # -- names the old program knew ---------------------------------------------------------
    poll_interval_sec: int = 60
    max_auto_orchestrate_runtime_sec: int = 10800
    """Time-out of projects whose spec names none; 0 means none."""
    max_process_runtime_sec: int = 10800
    """Defaults to max_auto_orchestrate_runtime_sec."""
    process_monitor_interval_sec: int = 30
    heartbeat_timeout_sec: int = 600
    max_timeout_extensions: int = 3
    extension_duration_sec: int = 900
    phantom_grace_period_sec: int = 1800
    state_sync_interval_sec: int = 600
    orphaned_reconcile_interval_sec: int = 1800
    orphaned_session_grace_period_sec: int = 3600
    reboot_detection_threshold_sec: int = 900
    stuck_timeout_hours: float = 4
    max_task_retries: int = 5
    enable_batch_monitoring: bool = True
    enable_research_agent: bool = True
    batch_summary_interval_min: int = 60
    log_level: str = "INFO"
    log_file: str = "scheduler.log"
    """Relative to home."""
    email_notifier_enabled: bool = True
    """Mail is sent when server, user, password and recipient are all set and this is not false."""
    smtp_server: str = ""
    """SMTP_SERVER; SMTP_HOST is the same under its other old name."""
    smtp_port: int = 587
    smtp_username: str = ""
    """SMTP_USERNAME or SMTP_USER."""
    smtp_password: str = ""
    sender_email: str = ""
    """SENDER_EMAIL or SMTP_FROM; default: the user name."""
    recipient_email: str = ""
    """RECIPIENT_EMAIL or SMTP_TO; default: the user name."""
    smtp_use_tls: bool = True
    email_subject_prefix: str = ""
    disable_reconciliation: bool = False
    stuck_threshold_hours: float = 0.5
    idle_threshold_minutes: float = 3
    tmo_default_session: str = "tmux-orc"
    tmo_default_window: int = 0

    @property
    def runs_dir(self) -> Path:
        return self.home / "runs"

    @property
    def logs_dir(self) -> Path:
        return self.home / "logs"

    @property
    def locks_dir(self) -> Path:
        return self.home / "locks"

    @property
    def signals_dir(self) -> Path:
        return self.home / "signals"

    @property
    def socket_path(self) -> Path:
        """Our own server's socket; meaningful only while `tmux_socket` is empty."""
        return self.home / "run" / "tmux.sock"
