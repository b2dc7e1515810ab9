"""Small pure helpers that several floors need: names, times, text for people."""

import re
from datetime import UTC, datetime

SESSION_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""tmux session names we make or adopt (match in full)."""
ROLE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
"""Window names (match in full)."""

GROUP_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
"""Names of groups of the queue (match in full)."""
DEFAULT_GROUP = "default"
"""What people call the group without a name."""

# CSI, OSC (ended by BEL or ST), DCS/SOS/PM/APC, then any other two-byte escape.
_ESCAPES = (
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
    r"|\x9b[0-?]*[ -/]*[@-~]"
)
# C0 but newline and tab, DEL, C1, and the marks that turn text around.
_CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
# A return that only ends its line (also "\r\r\n") leaves the line as it is.
_WRITTEN_OVER = r"(?m)^[^\n]*\r(?=[^\r\n])|\r+$"


def safe_stem(text: str, limit: int = 50) -> str:
    """Return `[A-Za-z0-9_-]` of a text, runs of anything else as one hyphen; may be empty."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:limit].strip("-")


def plain_text(text: str) -> str:
    """Return the text without anything a terminal would act on; newlines and tabs stay.

    A carriage return goes back to the start of its line: what follows the last one is kept.
    """
    if text.isprintable():
        # Nearly always: none of the patterns is compiled then.
        return text
    return re.sub(_CONTROLS, "", re.sub(_WRITTEN_OVER, "", re.sub(_ESCAPES, "", text)))


def one_line(text: str, limit: int = 200) -> str:
    """Return the text as one plain line of at most `limit` characters."""
    flat = " ".join(plain_text(text.replace("\r", " ")).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def iso_utc(at: float | None) -> str | None:
    """Return a moment as ISO 8601 in UTC, to the millisecond."""
    if at is None:
        return None
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def short_duration(seconds: float) -> str:
    """Return a length of time as people say it: `42s`, `12m`, `3h05m`, `2d04h`."""
    seconds = max(0, int(seconds))
    if seconds < 60:
        return f"{seconds}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if hours < 1:
        return f"{minutes}m"
    if days < 1:
        return f"{hours}h{minutes % 60:02d}m"
    return f"{days}d{hours % 24:02d}h"
