"""What each setting may be: text in, value out, and the words that say what is allowed."""

import re
from collections.abc import Callable

import msgspec

from scheduler_modules.utils import ROLE_PATTERN, SESSION_PATTERN

_MAX_COUNT = 1_000_000
_MAX_SEC = 1_000_000_000
_MAX_PORT = 65_535
# sun_path of a Unix socket's address, less the final NUL.
_MAX_SOCKET_BYTES = 107
_MAX_QUOTED = 80
_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")

# Compiled when a value is read: most calls read hardly any.
_WHOLE = r"[+-]?[0-9]{1,30}"
_NUMBER = r"[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,5})?"
_HOST = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?"
_SERVER = r"[A-Za-z0-9_.:\[\]-]{0,255}"
_SOCKET_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
_WORD = r"\S+"
# The name of a parameter that is written with escapes may be anything.
_IN_URL = r"(?i)((?:(?:pass|secret|scram_)\w{0,20}|[?&]\w{0,20}%[\w%]{0,60})=)[^&\s]*"
_SECRETS = frozenset(
    {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)
_CONTROL = "[\x00-\x1f\x7f-\x9f\ud800-\udfff]"
_TRUTH = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}

Value = str | int | float | bool
Parse = Callable[[str], Value]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """How one setting is read. `parse` raises ValueError for what is not `allowed`."""

    parse: Parse
    allowed: str
    is_text: bool = True
    """A text: a number in config.toml is refused."""
    takes_empty: bool = False
    """Empty is a value; otherwise it counts as not set."""
    is_path: bool = False
    """A leading `~` means a home folder."""
    is_secret: bool = False


def masked(value: object, is_secret: bool = False) -> str:
    """Return a value as it may be shown: no secret, and no credentials inside a URL."""
    text = str(value)
    if is_secret:
        return "***" if text else ""
    return re.sub(_IN_URL, r"\1***", re.sub(_WORD, _without_credentials, text))


def _without_credentials(word: re.Match[str]) -> str:
    scheme, separator, rest = word[0].partition("://")
    if not separator or "@" not in rest:
        return word[0]
    return f"{scheme}://***@{rest.rpartition('@')[2]}"


def without_password(url: str) -> str:
    """Return a database's URL without the password in it, if it has one, and other secrets."""
    if not url.startswith(_POSTGRES):
        return url
    credentials, rest = _at_credentials(url)
    address, question, query = rest.partition("?")
    kept = "&".join(part for part in query.split("&") if not _is_secret_parameter(part))
    user = "" if credentials is None else credentials.partition(":")[0] + "@"
    scheme = url.partition("://")[0]
    return f"{scheme}://{user}{address}{question if kept else ''}{kept}"


def is_ambiguous(url: str) -> bool:
    """Whether half of a password may be taken for the host or database of a PostgreSQL URL.

    So it is where an @ or / stands unescaped in the credentials, or an @ in a parameter: before
    the first /, parameters pass for credentials.
    """
    credentials, rest = _at_credentials(url)
    return "@" in rest or "=" in (credentials or "").partition("?")[2]


def _at_credentials(url: str) -> tuple[str | None, str]:
    """Return the credentials (None: there are none) and what follows, cut as libpq does.

    They end at the first @, if no / stands before it; a ? does not end them.

    Source: PostgreSQL's fe-connect.c, conninfo_uri_parse_options.
    """
    rest = url.partition("://")[2]
    end = re.search("[@/]", rest)
    if end is None or end[0] == "/":
        return None, rest
    return rest[: end.start()], rest[end.end() :]


def _is_secret_parameter(part: str) -> bool:
    from urllib.parse import unquote

    return unquote(part.partition("=")[0]).strip().lower() in _SECRETS


def shown_in_error(text: str, variable: str = "", is_secret: bool = False) -> str:
    """Return a refused value as an error may quote it: masked, and short."""
    if variable == "SCHEDULER_DB_URL" and not text.startswith("sqlite:"):
        # What is no URL of ours may hold a password anywhere.
        scheme = re.match(r"[A-Za-z0-9+]{1,30}(?=://)", text)
        return f"{scheme[0]}://***" if scheme else "***"
    if len(text) <= _MAX_QUOTED or is_secret:
        return masked(text, is_secret)
    # The cut might take away the "@" that tells where credentials end.
    return masked(text[:_MAX_QUOTED].partition("://")[0]) + "…"


def is_plain(text: str, also: str = "") -> bool:
    """Whether a text has no control characters (but those in `also`) and is valid Unicode."""
    if text.isprintable():
        return True
    left = text.translate({ord(character): None for character in also})
    return re.search(_CONTROL, left) is None


def _require(is_allowed: object) -> None:
    if not is_allowed:
        raise ValueError


def _whole(low: int, high: int = _MAX_COUNT) -> Rule:
    def parse(text: str) -> int:
        _require(re.fullmatch(_WHOLE, text.strip()))
        number = int(text)
        _require(low <= number <= high)
        return number

    return Rule(parse=parse, allowed=f"a whole number from {low:,} to {high:,}", is_text=False)


def _number(low: float, high: float = _MAX_SEC) -> Rule:
    def parse(text: str) -> float:
        _require(re.fullmatch(_NUMBER, text.strip()))
        number = float(text)
        _require(low <= number <= high)
        return number

    return Rule(parse=parse, allowed=f"a number from {low:,} to {high:,}", is_text=False)


def _truth() -> Rule:
    def parse(text: str) -> bool:
        word = text.strip().lower()
        _require(word in _TRUTH)
        return _TRUTH[word]

    return Rule(parse=parse, allowed="true or false (also 1/0, yes/no, on/off)", is_text=False)


def _choice(*words: str) -> Rule:
    by_lower = {word.lower(): word for word in words}

    def parse(text: str) -> str:
        word = text.strip().lower()
        _require(word in by_lower)
        return by_lower[word]

    return Rule(parse=parse, allowed=f"{', '.join(words[:-1])} or {words[-1]}")


def _matching(pattern: str, allowed: str, takes_empty: bool = False) -> Rule:
    def parse(text: str) -> str:
        _require(re.fullmatch(pattern, text))
        return text

    return Rule(parse=parse, allowed=allowed, takes_empty=takes_empty)


def _parse_text(text: str) -> str:
    _require(is_plain(text, also="\t"))
    return text


def _text(is_secret: bool = False, takes_empty: bool = True) -> Rule:
    return Rule(
        parse=_parse_text,
        allowed="text in UTF-8 without control characters",
        takes_empty=takes_empty,
        is_secret=is_secret,
    )


def _parse_command(text: str) -> str:
    _require(is_plain(text, also="\t\n"))
    import shlex

    words = shlex.split(text)
    _require(not words or words[0])
    return text.strip() if words else ""


def _parse_socket(text: str) -> str:
    if text.startswith("/"):
        _require(is_plain(text) and len(text.encode()) <= _MAX_SOCKET_BYTES)
        return text
    _require(not text or re.fullmatch(_SOCKET_NAME, text))
    return text


def _parse_file(text: str) -> str:
    _require(is_plain(text) and text == text.strip() and _names_a_file(text))
    return text


def _parse_database_url(text: str) -> str:
    if text.startswith(_POSTGRES):
        # What stands behind it is libpq's business: several hosts, a socket, a service.
        _require(is_plain(text) and re.fullmatch(_WORD, text) and text.partition("://")[2])
        _require(not is_ambiguous(text))
        return text
    _require(text.startswith(_SQLITE))
    return _url_of_file(text.removeprefix(_SQLITE))


def _url_of_file(text: str) -> str:
    # A "?" would be options.
    _require(is_plain(text) and text.startswith("/") and "?" not in text and _names_a_file(text))
    return _SQLITE + text


def _names_a_file(path: str) -> bool:
    return path.rpartition("/")[2] not in {"", ".", ".."}


_COMMAND = Rule(
    parse=_parse_command,
    allowed="a command line with every quote closed, or nothing",
    takes_empty=True,
)
_SOCKET = Rule(
    parse=_parse_socket,
    allowed=f"nothing, default, a name of letters, digits and _.-, or an absolute path of at most "
    f"{_MAX_SOCKET_BYTES} bytes",
    takes_empty=True,
    is_path=True,
)
_FILE = Rule(parse=_parse_file, allowed="the path of a file", is_path=True)
_DB_URL = Rule(
    parse=_parse_database_url,
    allowed="sqlite:/// and an absolute path (sqlite:////home/me/task_queue.db), or "
    "postgresql://USER@HOST/DATABASE (write @, / and ? in a name or password as %40, %2F and %3F)",
)
_DB_PATH = Rule(parse=_url_of_file, allowed="the absolute path of a file", is_path=True)

RULES: dict[str, Rule] = {
    "scheduler_db_url": _DB_URL,
    "tmux_socket": _SOCKET,
    "max_concurrent_projects": _whole(1),
    "project_command": _COMMAND,
    "project_agent": _matching(
        ROLE_PATTERN.pattern, "a name of at most 32 letters, digits, _ and -"
    ),
    "launcher_command": _COMMAND,
    "launcher_session_wait_sec": _whole(0, _MAX_SEC),
    "keep_sessions": _choice("none", "failed", "all"),
    "keep_sessions_hours": _number(0),
    "default_retries": _whole(0, 100),
    "retry_delay_sec": _number(0),
    "kill_grace_sec": _number(0),
    "log_cap_bytes": _whole(1024, 1 << 40),
    "tmux_timeout_sec": _number(0.1, 3600),
    "tick_sec": _number(0.01, 3600),
    "look_sec": _number(0.01, 3600),
    "host_name": _matching(
        _HOST, "nothing, or a host name (letters, digits, _.-)", takes_empty=True
    ),
    "poll_interval_sec": _whole(1, _MAX_SEC),
    "max_auto_orchestrate_runtime_sec": _whole(0, _MAX_SEC),
    "max_process_runtime_sec": _whole(0, _MAX_SEC),
    "process_monitor_interval_sec": _whole(1, _MAX_SEC),
    "heartbeat_timeout_sec": _whole(1, _MAX_SEC),
    "max_timeout_extensions": _whole(0),
    "extension_duration_sec": _whole(0, _MAX_SEC),
    "phantom_grace_period_sec": _whole(0, _MAX_SEC),
    "state_sync_interval_sec": _whole(1, _MAX_SEC),
    "orphaned_reconcile_interval_sec": _whole(1, _MAX_SEC),
    "orphaned_session_grace_period_sec": _whole(0, _MAX_SEC),
    "reboot_detection_threshold_sec": _whole(0, _MAX_SEC),
    "stuck_timeout_hours": _number(0),
    "max_task_retries": _whole(0),
    "enable_batch_monitoring": _truth(),
    "enable_research_agent": _truth(),
    "batch_summary_interval_min": _whole(1),
    "log_level": _choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    "log_file": _FILE,
    "email_notifier_enabled": _truth(),
    "smtp_server": _matching(_SERVER, "nothing, a host name or an IP address", takes_empty=True),
    "smtp_port": _whole(1, _MAX_PORT),
    "smtp_username": _text(),
    "smtp_password": _text(is_secret=True),
    # Empty means the user name, which is what not set means too.
    "sender_email": _text(takes_empty=False),
    "recipient_email": _text(takes_empty=False),
    "smtp_use_tls": _truth(),
    "email_subject_prefix": _text(),
    "disable_reconciliation": _truth(),
    "stuck_threshold_hours": _number(0),
    "idle_threshold_minutes": _number(0),
    "tmo_default_session": _matching(
        SESSION_PATTERN.pattern, "at most 64 letters, digits, _ and -"
    ),
    "tmo_default_window": _whole(0),
}
"""By field of `SchedulerConfig`; `home` is not read like the others."""

ALIASES: dict[str, tuple[tuple[str, Rule], ...]] = {
    "scheduler_db_url": (("QUEUE_DB_PATH", _DB_PATH),),
    "smtp_server": (("SMTP_HOST", RULES["smtp_server"]),),
    "smtp_username": (("SMTP_USER", RULES["smtp_username"]),),
    "sender_email": (("SMTP_FROM", RULES["sender_email"]),),
    "recipient_email": (("SMTP_TO", RULES["recipient_email"]),),
}
"""Other variables a field may be set by, after its own."""
