"""Moments and lengths of time as people write them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler_modules.cli.moments import parse_moment, parse_span, start_text, wall_text
from scheduler_modules.errors import InvalidInput

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = st.sampled_from(
    [ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe")]
)
MOMENTS = st.integers(946_684_800, 3_786_912_000).map(float)


def berlin(*numbers):
    return datetime(*numbers, tzinfo=BERLIN).timestamp()


NOW = berlin(2026, 11, 21, 22, 0)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("22:30", berlin(2026, 11, 21, 22, 30)),
        ("today 23:59:30", berlin(2026, 11, 21, 23, 59, 30)),
        ("tomorrow 7:00", berlin(2026, 11, 22, 7, 0)),
        ("Tomorrow 07:00", berlin(2026, 11, 22, 7, 0)),
        ("2026-12-01 08:00", berlin(2026, 12, 1, 8, 0)),
        ("2026-12-01T08:00", berlin(2026, 12, 1, 8, 0)),
        ("2026-12-01T08:00:00Z", datetime(2026, 12, 1, 8, tzinfo=UTC).timestamp()),
        (
            "2026-12-01T08:00:00.500+05:30",
            datetime(2026, 12, 1, 2, 30, 0, 500_000, UTC).timestamp(),
        ),
        ("in 2h", NOW + 7200),
        ("in 1 hour 30 minutes", NOW + 5400),
        ("+90m", NOW + 5400),
        (" +1d ", NOW + 86_400),
    ],
)
def test_a_moment_is_understood(text, at):
    assert parse_moment(text, NOW, BERLIN) == at


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "7", "25:00", "12:60", "2026-13-01 08:00", "2026-02-30 08:00", "in", "+"),
        *("22.30", "2026-W50-1", "20261201", "9999-99-99 99:99", "in 2x", "yesterday 7:00"),
        "7:00 tomorrow",
    ],
)
def test_what_is_no_moment_is_refused_with_examples(text):
    with pytest.raises(InvalidInput, match=r"say |give one"):
        parse_moment(text, NOW, BERLIN)


@pytest.mark.parametrize("text", ["tomorrow", "2026-12-01"])
def test_a_day_without_a_time_is_asked_for_one(text):
    with pytest.raises(InvalidInput, match=f'say "{text} 08:00"'):
        parse_moment(text, NOW, BERLIN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("21:00", '"21:00" is past: it is 22:00 now; for the next day say "tomorrow 21:00"'),
        ("today 21:00", 'for the next day say "tomorrow 21:00"'),
        ("22:00", "is past"),
        ("2026-11-21 21:00", '"2026-11-21 21:00" is past: it is 2026-11-21 22:00 now'),
        ("2020-01-01T00:00Z", "is past"),
    ],
)
def test_a_moment_that_is_past_is_refused(text, said):
    with pytest.raises(InvalidInput) as refusal:
        parse_moment(text, NOW, BERLIN)

    assert said in str(refusal.value)


@pytest.mark.parametrize("text", ["2037-01-01 08:00", "9999-01-01T00:00Z", "in 600w"])
def test_a_moment_more_than_ten_years_away_is_refused(text):
    with pytest.raises(InvalidInput, match="ten years"):
        parse_moment(text, NOW, BERLIN)


def test_tomorrow_is_by_the_wall_clock_where_a_day_has_25_hours():
    evening = berlin(2026, 10, 24, 22, 0)

    assert parse_moment("tomorrow 7:00", evening, BERLIN) - evening == 10 * 3600


def test_in_a_day_is_24_hours_where_a_day_has_25():
    evening = berlin(2026, 10, 24, 22, 0)

    assert wall_text(parse_moment("in 1d", evening, BERLIN), evening, BERLIN) == "tomorrow 21:00"


def test_of_a_time_that_comes_twice_the_first_to_come_is_meant():
    before = berlin(2026, 10, 25, 1, 0)
    between = before + 2 * 3600

    assert parse_moment("2:30", before, BERLIN) == before + 1.5 * 3600
    assert parse_moment("2:30", between, BERLIN) == before + 2.5 * 3600


def test_a_time_that_is_skipped_is_as_long_after_the_change():
    before = berlin(2026, 3, 29, 1, 0)

    assert wall_text(parse_moment("2:30", before, BERLIN), before, BERLIN) == "03:30"


def test_without_a_zone_that_of_the_machine_counts():
    now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()

    assert wall_text(parse_moment("tomorrow 13:00", now), now) == "tomorrow 13:00"


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (berlin(2026, 11, 21, 22, 30), "22:30"),
        (berlin(2026, 11, 21, 22, 30, 5), "22:30:05"),
        (berlin(2026, 11, 22, 7, 0), "tomorrow 07:00"),
        (berlin(2026, 12, 1, 8, 0), "2026-12-01 08:00"),
        (1e300, "?"),
    ],
)
def test_a_moment_is_told_by_the_wall_clock(at, text):
    assert wall_text(at, NOW, BERLIN) == text


def test_a_start_is_told_with_the_time_until_then():
    assert start_text(NOW + 1800, NOW, BERLIN) == "starts 22:30 (in 30m)"


@given(now=MOMENTS, ahead=st.integers(1, 400 * 86_400), zone=ZONES)
def test_a_moment_as_iso_is_that_moment(now, ahead, zone):
    text = datetime.fromtimestamp(now + ahead, zone).isoformat()

    assert parse_moment(text, now, zone) == now + ahead


@given(now=MOMENTS, zone=ZONES, clock=st.times())
def test_a_time_of_tomorrow_is_on_tomorrow_s_date(now, zone, clock):
    at = parse_moment(f"tomorrow {clock:%H:%M}", now, zone)

    day = datetime.fromtimestamp(now, zone).date() + timedelta(days=1)
    told = datetime.fromtimestamp(at, zone)
    assert told.date() == day
    # Where the clock skips that time, it is later by what was skipped.
    assert told.time().replace(second=0) >= clock.replace(second=0, microsecond=0)
    assert at > now


@given(now=MOMENTS, zone=ZONES, text=st.text(max_size=20))
def test_any_text_is_a_moment_to_come_or_refused(now, zone, text):
    try:
        at = parse_moment(text, now, zone)
    except InvalidInput:
        return

    assert at > now


@pytest.mark.parametrize(
    ("text", "sec"),
    [
        ("90s", 90),
        ("45m", 2700),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("2 days", 172_800),
        ("1w", 604_800),
        ("1H", 3600),
        ("10 min", 600),
        ("1h 5 secs", 3605),
    ],
)
def test_a_length_of_time_is_understood(text, sec):
    assert parse_span(text) == sec


@pytest.mark.parametrize("text", ["", "7", "0s", "-1h", "h", "1y", "1h?", "1mo", "١h"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(InvalidInput, match="is no length of time; give one such as"):
        parse_span(text)


def test_more_than_ten_years_are_refused():
    with pytest.raises(InvalidInput, match="ten years"):
        parse_span("600w")


@given(sec=st.integers(1, 86_400 * 3000))
def test_seconds_are_seconds(sec):
    assert parse_span(f"{sec}s") == sec
