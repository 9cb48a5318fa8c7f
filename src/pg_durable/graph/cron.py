"""Cron expressions: when the next tick is.

Classic cron, as PostgreSQL users know it: minute, hour, day of month, month, day of week
(Sunday is 0 or 7) and, if wanted, a year (1970-2100); with names, lists, ranges, steps, `?` for
`*` in the fields of days, and `@daily` and the like. When both fields of days are restricted,
either will do; a field that begins with `*` is not restricted.

In a time zone with daylight saving, a schedule whose minute and hour do not begin with `*` keeps
to the clock on the wall, as in Debian's cron: what falls into the hour that is skipped comes
right after the change, and what falls into the hour that is repeated comes once, the first
time. Any other keeps to real time: `*/15 * * * *` ticks every quarter of an hour.

`df._check_cron` (sql/functions/cron.sql) accepts exactly what is accepted here.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim

from pg_durable.errors import InvalidWorkflow


def next_tick(cron_expr: str, time_zone: str | None, after: datetime) -> datetime | None:
    """Tell the first tick strictly later than `after`, in UTC; None: there is none any more.

    Raises:
        InvalidWorkflow: no cron expression, or a time zone this machine has no data for.
    """
    schedule = _read(cron_expr)
    zone = _zone(time_zone)
    now = after
    while True:
        if schedule.real_time:
            tick = _next_in_real_time(schedule.fields, now, zone)
        else:
            tick = _next_on_the_wall(schedule.fields, now, zone)
        if tick is None or schedule.years is None:
            return tick
        year = tick.astimezone(zone).year
        if year in schedule.years:
            return tick
        later = [allowed for allowed in schedule.years if allowed > year]
        if not later:
            return None
        now = datetime(min(later), 1, 1, tzinfo=zone).astimezone(UTC) - _SECOND


def _next_on_the_wall(fields: str, after: datetime, zone: tzinfo) -> datetime | None:
    # In an hour that is repeated, the clock on the wall has ticks that are past already.
    ticks = (tick.astimezone(UTC) for tick in CronSim(fields, after.astimezone(zone)))
    return next((tick for tick in ticks if tick > after), None)


def _next_in_real_time(fields: str, after: datetime, zone: tzinfo) -> datetime | None:
    """The first tick while the clock on the wall runs evenly, then from its next change on.

    Cronsim's own way misses ticks in days that begin after midnight, and where the clock
    changes by half an hour.
    """
    start = after.astimezone(UTC).replace(microsecond=0) + _SECOND
    while True:
        offset = _offset(start, zone)
        wall = next(CronSim(fields, start + offset - _SECOND), None)
        if wall is None:
            return None
        tick = wall - offset
        if tick - start > _AWAY:  # no change can bring the tick nearer than that
            start = tick - _AWAY
        elif _offset(tick, zone) == offset:
            return tick
        else:
            start = _change(start, tick, zone)


_SECOND = timedelta(seconds=1)
_AWAY = timedelta(days=2)


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """When the clock on the wall changed between two moments: its first second."""
    offset = _offset(before, zone)
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(datetime.fromtimestamp(middle, UTC), zone) == offset:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


def _zone(name: str | None) -> tzinfo:
    if name is None or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidWorkflow(
            f"The worker knows no time zone '{name}'.",
            hint="Install the time zone data of its system, or the Python package tzdata.",
        ) from error


class _Field(NamedTuple):
    title: str
    first: int
    last: int
    names: Mapping[str, int] = {}


class _Schedule(NamedTuple):
    fields: str  # the five of classic cron, in numbers
    real_time: bool  # rather than by the clock on the wall
    years: frozenset[int] | None  # None: any


_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field(
        "month",
        1,
        12,
        {name: n for n, month in enumerate(_MONTHS, 1) for name in (month, month[:3])},
    ),
    _Field(
        "day of week",
        0,
        7,
        {name: n for n, day in enumerate(_DAYS) for name in (day, day[:3])}
        | {"tues": 2, "thur": 4, "thurs": 4},
    ),
    _Field("year", 1970, 2100),
)
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_TERM = re.compile(
    r"(?:(?P<any>[*?])|(?P<first>[a-z]+|[0-9]+)(?:-(?P<last>[a-z]+|[0-9]+))?)"
    r"(?:/(?P<step>[0-9]{1,9}))?"
)


@lru_cache(maxsize=1000)
def _read(cron_expr: str) -> _Schedule:
    try:
        return _parse(cron_expr)
    except ValueError as error:
        raise InvalidWorkflow(
            f"Invalid cron expression '{cron_expr}': Invalid expression: Invalid cron expression.",
            hint=f"{error}.",
        ) from error


def _parse(cron_expr: str) -> _Schedule:
    if not cron_expr.isascii():
        raise ValueError("It has other characters than those of ASCII")
    text = cron_expr.strip(" \t").lower()
    texts = re.split(r"[ \t]+", _NICKNAMES.get(text, text))
    if len(texts) not in (5, 6):
        raise ValueError("It needs five fields; a year may follow")

    fields = []
    allowed = []
    for field, terms in zip(_FIELDS, texts, strict=False):
        read = [_parse_term(field, term) for term in terms.split(",")]
        fields.append(",".join(term for term, _ in read))
        allowed.append(frozenset(n for _, numbers in read for n in numbers))
    years = allowed[5] if len(allowed) == 6 else None
    both = fields[2].startswith("*") or fields[4].startswith("*")
    if not _has_a_date(allowed[2], allowed[3], allowed[4], years, both):
        raise ValueError("There is no such date")
    real_time = fields[0].startswith("*") or fields[1].startswith("*")
    return _Schedule(" ".join(fields[:5]), real_time, years)


def _parse_term(field: _Field, term: str) -> tuple[str, range]:
    """One term of a list, as numbers that cronsim understands, and which they are."""
    match = _TERM.fullmatch(term)
    if match is None or (match["any"] == "?" and not field.title.startswith("day")):
        raise ValueError(f"'{term}' is no {field.title}")
    first, last, step = field.first, field.last, int(match["step"] or 1)
    if match["first"]:
        first = _number(field, match["first"])
        if match["last"]:
            last = _number(field, match["last"])
            if last == 0 < first and match["last"] in field.names:
                last = 7  # fri-sun
        elif not match["step"]:
            last = first
        elif match["first"] in field.names:
            raise ValueError(f"'{term}' has a step but no end; write a range")
    if not (field.first <= first <= last <= field.last and step > 0):
        raise ValueError(f"'{term}' is no {field.title}")

    numbers = range(first, last + 1, step)
    if match["any"]:
        return (f"*/{step}" if match["step"] else "*"), numbers
    return ",".join(map(str, numbers)), numbers


def _number(field: _Field, text: str) -> int:
    if text in field.names:
        return field.names[text]
    if len(text) > 9:
        raise ValueError(f"'{text}' is no {field.title}")
    return int(text)


def _has_a_date(
    days: frozenset[int],
    months: frozenset[int],
    weekdays: frozenset[int],
    years: frozenset[int] | None,
    both: bool,
) -> bool:
    for year in sorted(years or range(1970, 2101)):
        for month in sorted(months):
            day = date(year, month, 1)
            while day.month == month:
                on_weekday = not weekdays.isdisjoint({day.isoweekday(), day.isoweekday() % 7})
                on_day = day.day in days
                if (on_day and on_weekday) if both else (on_day or on_weekday):
                    return True
                day += timedelta(days=1)
    return False
