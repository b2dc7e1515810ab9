"""The one typed, frozen configuration. Nothing is read on import: call `load_config`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from scheduler_modules import config_home
from scheduler_modules.config_sources import Given, from_dotenv, from_environment, from_toml
from scheduler_modules.config_values import (
    ALIASES,
    RULES,
    Rule,
    Value,
    masked,
    shown_in_error,
    without_password,
)
from scheduler_modules.errors import ConfigError

__all__ = ["LoadedConfig", "SchedulerConfig", "Setting", "ensure_home", "load_config", "masked"]


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
    """`none`, `failed` or `all`: which ended sessions stay to be seen; nothing runs in them."""
    keep_sessions_hours: float = 24
    default_retries: int = 0
    retry_delay_sec: float = 30
    """First back-off; doubles with each retry up to 600 s."""
    kill_grace_sec: float = 10
    log_cap_bytes: int = 1_048_576
    """Per window: this much of the beginning and twice this much of the end are kept."""
    tmux_timeout_sec: float = 5
    tick_sec: float = 0.5
    """How often the daemon looks again while something is under way that nobody tells of."""
    look_sec: float = 5
    """How often it looks while nothing is: what no event tells of is found by this."""
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

    def __repr__(self) -> str:
        fields = (
            f"{name}={masked(getattr(self, name), _is_secret(name))!r}"
            for name in self.__struct_fields__
        )
        return f"SchedulerConfig({', '.join(fields)})"


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One effective setting and where it came from."""

    name: str
    """The field of `SchedulerConfig`."""
    variable: str
    """The variable that sets it; aliases apart."""
    value: Any
    origin: str
    """`environment`, the file (with its line, for `.env`) or `default`; an alias is named."""
    is_secret: bool = False

    @property
    def shown(self) -> str:
        """The value as it may be printed."""
        return masked(self.value, self.is_secret)

    def __repr__(self) -> str:
        return f"Setting({self.variable}={self.shown!r}, {self.origin!r})"


class LoadedConfig(msgspec.Struct, frozen=True):
    """The configuration, and how it came about: settings by field name, in the struct's order."""

    config: SchedulerConfig
    sources: Mapping[str, Setting]


def load_config(environ: Mapping[str, str], *, cwd: Path | None = None) -> LoadedConfig:
    """Read all sources and check every setting.

    Home is TMUX_ORCHESTRATOR_HOME, else `cwd`, else `tmux-orchestrator` in XDG_STATE_HOME or
    `~/.local/state`. Nothing is created. An empty variable counts as not set, unless nothing is
    a value of that setting.

    Raises:
        ConfigError: a value is not allowed, or a file of settings cannot be read.
    """
    home, origin = config_home.choose_home(environ, cwd)
    variables = [variable for name in RULES for variable, _ in _names_of(name)]
    sources = (
        from_environment(environ, variables),
        from_dotenv(home / ".env"),
        from_toml(home / "config.toml", variables),
    )
    variable = config_home.HOME_VARIABLE
    settings = {"home": Setting(name="home", variable=variable, value=home, origin=origin)}
    for name in SchedulerConfig.__struct_fields__[1:]:
        settings[name] = _setting(name, sources, environ, settings)
    settings["scheduler_db_url"] = _with_password(settings["scheduler_db_url"], sources)
    values: dict[str, Any] = {name: setting.value for name, setting in settings.items()}
    return LoadedConfig(SchedulerConfig(**values), settings)


def ensure_home(config: SchedulerConfig) -> None:
    """Create home and its sub-folders, for us alone, where they are missing.

    Raises:
        UnusableHome: it cannot be had, or others could tamper with it.
        DiskFull: no space is left for it.
    """
    config_home.ensure_folders(config.home, ("runs", "logs", "locks", "signals", "run"))


def _is_secret(name: str) -> bool:
    return name in RULES and RULES[name].is_secret


def _names_of(name: str) -> Iterator[tuple[str, Rule]]:
    """Give the variables that set a field, the first that counts first."""
    yield name.upper(), RULES[name]
    yield from ALIASES.get(name, ())


def _setting(
    name: str,
    sources: tuple[Mapping[str, Given], ...],
    environ: Mapping[str, str],
    before: Mapping[str, Setting],
) -> Setting:
    """Return the setting as the first source that speaks of it has it."""
    variable = name.upper()
    for source in sources:
        for alias, rule in _names_of(name):
            given = source.get(alias)
            if given is None or not (given.text.strip() or rule.takes_empty):
                continue
            value = _value(alias, given, rule, environ)
            origin = given.origin if alias == variable else f"{given.origin}, as {given.name}"
            return Setting(
                name=name, variable=variable, value=value, origin=origin, is_secret=rule.is_secret
            )
    value, origin = _default(name, before)
    return Setting(
        name=name, variable=variable, value=value, origin=origin, is_secret=_is_secret(name)
    )


def _with_password(setting: Setting, sources: tuple[Mapping[str, Given], ...]) -> Setting:
    """Return the database's URL with the password that another source has for the same one.

    What runs in a session is told the URL without it, and reads the files in home.
    """
    for source in sources:
        given = source.get(setting.variable)
        if given is None or given.text in {setting.value, without_password(given.text)}:
            continue
        if without_password(given.text) == setting.value:
            return msgspec.structs.replace(setting, value=given.text, origin=given.origin)
    return setting


def _value(variable: str, given: Given, rule: Rule, environ: Mapping[str, str]) -> Value:
    text = given.text
    if rule.is_path and text.startswith("~"):
        text = config_home.expanded(given.name, text, given.origin, environ)
    try:
        if rule.is_text and not given.is_text:
            raise ValueError("not in quotes")
        return rule.parse(text)
    except ValueError:
        shown = shown_in_error(given.text, variable, rule.is_secret)
        allowed = rule.allowed if given.is_text or not rule.is_text else "a text in quotes"
        # The cause may quote the value, which may be a secret.
        raise ConfigError(given.name, shown, allowed, given.origin) from None


def _default(name: str, before: Mapping[str, Setting]) -> tuple[Value, str]:
    match name:
        case "scheduler_db_url":
            return f"sqlite:///{before['home'].value}/task_queue.db", "default"
        case "max_process_runtime_sec":
            return _same_as("max_auto_orchestrate_runtime_sec", before)
        case "sender_email" | "recipient_email":
            return _same_as("smtp_username", before)
        case _:
            return _DEFAULTS[name], "default"


def _same_as(name: str, before: Mapping[str, Setting]) -> tuple[Value, str]:
    return before[name].value, f"default: {name.upper()}"


_DEFAULTS: dict[str, Value] = {
    field.name: field.default for field in msgspec.structs.fields(SchedulerConfig)
}
