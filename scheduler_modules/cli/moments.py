"""Moments and lengths of time as people write them: `tomorrow 7:00`, `in 2h`. Pure.

Wall times are meant in `zone`, by its rules; None is the zone of this machine.
"""

import math
import re
from datetime import date, datetime, time, timedelta, tzinfo

from scheduler_modules.errors import InvalidInput
from scheduler_modules.utils import one_line, short_duration

MAX_SPAN_SEC = 10 * 366 * 86_400.0
SPANS = "such as 90s, 45m, 2h, 1h30m, 7d or 2w"
MOMENTS = '"22:30", "tomorrow 7:00", "in 2h" or "2026-12-01 08:00"'

_UNIT_SEC = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
# Compiled when something is read: telling a time needs none of them.
_PART = (
    r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*"
    r"(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)(?![a-z])\s*"
)
_FROM_NOW = r"(?:\+|in\s)\s*(.*)"
_CLOCK = r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?"
_TODAY = rf"(?:(today|tomorrow)\s+)?{_CLOCK}"
_DATED = rf"([0-9]{{4}})-([0-9]{{2}})-([0-9]{{2}})(?:\s+|t){_CLOCK}"
_WITHOUT_CLOCK = r"today|tomorrow|[0-9]{4}-[0-9]{2}-[0-9]{2}"


def parse_span(text: str) -> float:
    """Return a length of time in seconds: `90s`, `1h30m`, `2 days`.

    Raises:
        InvalidInput: it is none, is nothing, or is longer than ten years.
    """
    rest, total = text.strip().lower(), 0.0
    while rest and (part := re.match(_PART, rest)):
        total += float(part[1]) * _UNIT_SEC[part[2][0]]
        rest = rest[part.end() :]
    if rest or not total:
        raise InvalidInput(f'"{one_line(text, 40)}" is no length of time; give one {SPANS}')
    if total > MAX_SPAN_SEC:
        raise InvalidInput(f'"{one_line(text, 40)}" is longer than ten years')
    return total


def parse_moment(text: str, now: float, zone: tzinfo | None = None) -> float:
    """Return a moment to come, as seconds since the epoch.

    A time of day without a day is today's. Of one that the clock shows twice, the first that is
    still to come is meant; one that it skips is as long after the change as it says.

    Raises:
        InvalidInput: it is no moment, it is past, or more than ten years away.
    """
    words = text.strip().lower()
    if from_now := re.fullmatch(_FROM_NOW, words):
        return now + parse_span(from_now[1])
    for at in _candidates(words, text, now, zone):
        if at - now > MAX_SPAN_SEC:
            raise InvalidInput(f'"{one_line(text, 40)}" is more than ten years from now')
        if at > now:
            return at
    is_of_today = re.fullmatch(_TODAY, words) is not None
    clock = datetime.fromtimestamp(now, zone).strftime("%H:%M" if is_of_today else "%Y-%m-%d %H:%M")
    told = f'"{one_line(text, 40)}" is past: it is {clock} now'
    if is_of_today:
        told += f'; for the next day say "tomorrow {words.removeprefix("today").strip()}"'
    raise InvalidInput(told)


def wall_text(at: float, now: float, zone: tzinfo | None = None) -> str:
    """Return a moment by the wall clock, with the day where that is not today."""
    try:
        moment, today = datetime.fromtimestamp(at, zone), datetime.fromtimestamp(now, zone)
    except (ValueError, OverflowError, OSError):
        return "?"
    clock = f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"
    if moment.date() == today.date():
        return clock
    if moment.date() == today.date() + timedelta(days=1):
        return f"tomorrow {clock}"
    return f"{moment:%Y-%m-%d} {clock}"


def start_text(at: float, now: float, zone: tzinfo | None = None) -> str:
    """Return when something starts: `starts 22:30 (in 4h00m)`."""
    return f"starts {wall_text(at, now, zone)} (in {short_duration(math.ceil(at - now))})"


def _candidates(words: str, text: str, now: float, zone: tzinfo | None) -> list[float]:
    """Return what a wall time may mean, the earliest first: two where the clock shows it twice."""
    try:
        if match := re.fullmatch(_TODAY, words):
            today = datetime.fromtimestamp(now, zone).date()
            day = today + timedelta(days=match[1] == "tomorrow")
            return _at(day, _clock(*match.groups()[1:]), zone)
        if match := re.fullmatch(_DATED, words):
            day = date(int(match[1]), int(match[2]), int(match[3]))
            return _at(day, _clock(*match.groups()[3:]), zone)
        if re.fullmatch(_WITHOUT_CLOCK, words):
            raise InvalidInput(f'"{words}": at what time? say "{words} 08:00"')
        moment = datetime.fromisoformat(text.strip() if "t" in words else "")
        return _at(moment.date(), moment.timetz(), moment.tzinfo or zone)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidInput(
            f'"{one_line(text, 40)}" is no time that can be understood; say {MOMENTS}'
        ) from error


def _clock(hour: str, minute: str, second: str | None) -> time:
    return time(int(hour), int(minute), int(second or 0))


def _at(day: date, clock: time, zone: tzinfo | None) -> list[float]:
    moments = (datetime.combine(day, clock.replace(fold=fold), zone) for fold in (0, 1))
    # Where the clock skips an hour the second reading is the earlier one, and nobody means it.
    first, second = (moment.timestamp() for moment in moments)
    return [first, second] if second > first else [first]
