from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pg_durable.errors import InvalidWorkflow
from pg_durable.graph.cron import next_tick

SUNDAY = "2026-11-22"  # the day on which most of these schedules are asked


def ticks(expr: str, after: str, zone: str | None = None, count: int = 1) -> list[str]:
    """The next ticks, each asked for when the one before it has come."""
    now = datetime.fromisoformat(after)
    now = now if now.tzinfo else now.replace(tzinfo=UTC)
    found = []
    for _ in range(count):
        tick = next_tick(expr, zone, now)
        if tick is None:
            break
        assert tick.tzinfo is UTC
        assert tick > now
        found.append(f"{tick:%Y-%m-%d %H:%M:%S}".removesuffix(":00"))
        now = tick
    return found


@pytest.mark.parametrize(
    ("expr", "tick"),
    [
        ("* * * * *", "2026-11-22 12:01"),
        ("*/5 * * * *", "2026-11-22 12:05"),
        ("0 2 * * *", "2026-11-23 02:00"),
        ("00 02 * * *", "2026-11-23 02:00"),
        ("*/15 9-17 * * mon-fri", "2026-11-23 09:00"),
        ("10-30/10,50 12 * * *", "2026-11-22 12:10"),
        ("40/15 * * * *", "2026-11-22 12:40"),
        ("30-30/7 * * * *", "2026-11-22 12:30"),
        ("0 0 1 jan *", "2027-01-01 00:00"),
        ("0 0 ? * THURS", "2026-11-26 00:00"),
        ("0 0 1 September-December/2 ?", "2027-09-01 00:00"),
        ("\t0  9 * * * ", "2026-11-23 09:00"),
        ("@hourly", "2026-11-22 13:00"),
        ("@daily", "2026-11-23 00:00"),
        ("@Midnight", "2026-11-23 00:00"),
        ("@weekly", "2026-11-29 00:00"),
        ("@monthly", "2026-12-01 00:00"),
        ("@yearly", "2027-01-01 00:00"),
        ("@ANNUALLY", "2027-01-01 00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("0 0 29 2 */7", "2032-02-29 00:00"),
    ],
)
def test_the_next_tick_is_the_first_match(expr: str, tick: str) -> None:
    assert ticks(expr, f"{SUNDAY} 12:00") == [tick]


def test_a_tick_is_strictly_later_and_at_second_0() -> None:
    assert ticks("0 12 * * *", f"{SUNDAY} 11:59:59.999999") == ["2026-11-22 12:00"]
    assert ticks("0 12 * * *", f"{SUNDAY} 12:00:00") == ["2026-11-23 12:00"]
    assert ticks("* * * * *", f"{SUNDAY} 12:00:00.5") == ["2026-11-22 12:01"]


@pytest.mark.parametrize("sunday", ["0", "7", "sun", "SUNDAY"])
def test_sunday_is_0_and_7(sunday: str) -> None:
    assert ticks(f"0 9 * * {sunday}", f"{SUNDAY} 00:00") == ["2026-11-22 09:00"]


@pytest.mark.parametrize("weekend", ["fri-sun", "5-7", "0,5,6", "friday-7", "5/1"])
def test_a_range_may_end_on_sunday(weekend: str) -> None:
    found = ticks(f"0 9 * * {weekend}", f"{SUNDAY} 00:00", count=4)

    assert [tick[8:10] for tick in found] == ["22", "27", "28", "29"]


def test_a_range_from_sunday_to_sunday_is_sunday() -> None:
    assert ticks("0 9 * * sun-sun", f"{SUNDAY} 10:00") == ["2026-11-29 09:00"]


def test_either_day_will_do_when_both_are_restricted() -> None:
    assert ticks("0 0 25 * mon", f"{SUNDAY} 12:00", count=3) == [
        "2026-11-23 00:00",
        "2026-11-25 00:00",
        "2026-11-30 00:00",
    ]


def test_a_field_that_begins_with_a_star_is_not_restricted_and_must_match_too() -> None:
    assert ticks("0 0 */2 * mon", f"{SUNDAY} 12:00", count=2) == [
        "2026-11-23 00:00",
        "2026-12-07 00:00",
    ]
    assert ticks("0 0 13 * */5", f"{SUNDAY} 12:00", count=2) == [
        "2026-12-13 00:00",
        "2027-06-13 00:00",
    ]


@pytest.mark.parametrize(
    ("expr", "found"),
    [
        ("0 0 1 1 * 2030", ["2030-01-01 00:00"]),
        ("0 0 1 1,7 * 2027-2028", [f"{y}-0{m}-01 00:00" for y in (2027, 2028) for m in (1, 7)]),
        ("0 0 1 12 * *", [f"{y}-12-01 00:00" for y in range(2026, 2031)]),
        ("0 0 1 12 * 2020/40", ["2060-12-01 00:00", "2100-12-01 00:00"]),
        ("0 0 29 2 * 2001-2099/3", [f"{y}-02-29 00:00" for y in range(2028, 2077, 12)]),
        ("59 23 31 12 * 2026,2100", ["2026-12-31 23:59", "2100-12-31 23:59"]),
        ("0 0 * * * 2025", []),
    ],
)
def test_a_year_bounds_a_schedule(expr: str, found: list[str]) -> None:
    assert ticks(expr, f"{SUNDAY} 12:00", count=5) == found


def test_years_are_those_of_the_time_zone() -> None:
    assert ticks("0 0 1 1 * 2027", f"{SUNDAY} 12:00", "Asia/Tokyo") == ["2026-12-31 15:00"]


@pytest.mark.parametrize("zone", [None, "UTC", "Etc/UTC"])
def test_schedules_are_in_utc_unless_a_time_zone_is_given(zone: str | None) -> None:
    assert ticks("0 9 * * *", f"{SUNDAY} 12:00+05:00", zone) == ["2026-11-22 09:00"]
    assert ticks("0 9 * * *", f"{SUNDAY} 12:00", "Europe/Zurich") == ["2026-11-23 08:00"]


def test_what_falls_into_the_skipped_hour_comes_once_right_after_the_change() -> None:
    # 2026-03-29 in Zurich: 01:59 is followed by 03:00, which is 01:00 UTC.
    assert ticks("0,30 2 * * *", "2026-03-28 12:00", "Europe/Zurich", 3) == [
        "2026-03-29 01:00",
        "2026-03-30 00:00",
        "2026-03-30 00:30",
    ]


def test_what_falls_into_the_repeated_hour_comes_once() -> None:
    # 2026-10-25 in Zurich: 02:00 to 02:59 comes twice, from 00:00 and from 01:00 UTC.
    assert ticks("30 2 * * *", "2026-10-24 12:00", "Europe/Zurich", 2) == [
        "2026-10-25 00:30",
        "2026-10-26 01:30",
    ]


def test_one_who_asks_in_the_second_of_the_repeated_hours_gets_no_tick_of_the_first() -> None:
    assert ticks("15,45 2 * * *", "2026-10-25 01:30", "Europe/Zurich") == ["2026-10-26 01:15"]


@pytest.mark.parametrize("change", ["2026-03-29", "2026-10-25"])
@pytest.mark.parametrize("expr", ["*/15 * * * *", "0,15,30,45 * * * *", "*/15 0-23 * * *"])
def test_schedules_with_a_star_keep_to_real_time(expr: str, change: str) -> None:
    start = datetime.fromisoformat(f"{change} 00:00+00:00")
    quarters = [start + timedelta(minutes=15 * n) for n in range(1, 17)]

    assert ticks(expr, str(start), "Europe/Zurich", 16) == [f"{q:%Y-%m-%d %H:%M}" for q in quarters]


def test_a_schedule_with_a_star_has_no_ticks_in_an_hour_that_is_skipped() -> None:
    assert ticks("*/30 2 * * *", "2026-03-28 12:00", "Europe/Zurich") == ["2026-03-30 00:00"]


@pytest.mark.parametrize("expr", ["*/15 0,2 * * *", "*/15 1-3 * * sun", "0,45 * * * *"])
@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("Europe/Zurich", "2026-03-29 01:00"),
        ("Europe/Zurich", "2026-10-25 01:00"),
        ("America/Santiago", "2026-04-05 03:00"),
        ("America/Santiago", "2026-09-06 04:00"),
        ("Antarctica/Troll", "2026-03-29 01:00"),
        ("Australia/Lord_Howe", "2026-04-04 15:00"),
    ],
)
def test_a_schedule_with_a_star_ticks_whenever_the_clock_on_the_wall_matches(
    expr: str, zone: str, change: str
) -> None:
    start = datetime.fromisoformat(f"{change}+00:00") - timedelta(days=1)
    quarters = [start + timedelta(minutes=15 * n) for n in range(1, 2 * 24 * 4)]
    minutes, hours, days = {
        "*/15 0,2 * * *": ((0, 15, 30, 45), (0, 2), range(1, 8)),
        "*/15 1-3 * * sun": ((0, 15, 30, 45), (1, 2, 3), (7,)),
        "0,45 * * * *": ((0, 45), range(24), range(1, 8)),
    }[expr]

    found = ticks(expr, str(start), zone, 200)

    local = {quarter: quarter.astimezone(ZoneInfo(zone)) for quarter in quarters}
    expected = [
        f"{quarter:%Y-%m-%d %H:%M}"
        for quarter, wall in local.items()
        if wall.minute in minutes and wall.hour in hours and wall.isoweekday() in days
    ]
    assert [tick for tick in found if tick <= f"{quarters[-1]:%Y-%m-%d %H:%M}"] == expected


def test_a_day_may_begin_after_midnight() -> None:
    # 2026-09-06 in Santiago begins at 01:00, which is 04:00 UTC.
    assert ticks("0 0 * * *", "2026-09-05 12:00", "America/Santiago", 2) == [
        "2026-09-06 04:00",
        "2026-09-07 03:00",
    ]


@pytest.mark.parametrize(
    "expr",
    [
        *("", " ", "*", "* * * *", "* * * * * * *", "0 0 0 1 1 * 2030", "@", "@reboot", "@daily *"),
        *("60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 0 *", "* * * 13 *"),
        *("* * * * 8", "* * * * * 1969", "* * * * * 2101", "-1 * * * *", "1.5 * * * *"),
        *("5-1 * * * *", "* * * * fri-mon", "* * * * 5-0", "* * * dec-jan *", "1-2-3 * * * *"),
        *("*/0 * * * *", "*/ * * * *", "/5 * * * *", "*/x * * * *", "1/2/3 * * * *", "** * * * *"),
        *("? * * * *", "* ? * * *", "* * * ? *", "* * * * * ?"),
        *("* * L * *", "* * LW * *", "* * * * 5L", "* * * * 5#2", "* * 15W * *", "* * * * mon/2"),
        *(", * * * *", "1, * * * *", "1,,2 * * * *", "jan * * * *", "* * * mon *", "* * * * jan"),
        *("* * * sept *", "* * * * m", "0 0 30 2 *", "0 0 31 feb,apr,jun *", "0 0 29 2 * 2027"),
        *("0 0 29 2 * 2100", "0 0 29 2 */7 2096", "*\n* * * *", "* * * * *\n", "* * * *\xa0*"),
        *("٣ * * * *", "* * * * ſun", f"{10**9} * * * *", f"*/{10**9} * * * *"),
    ],
)
def test_what_is_no_schedule_is_refused(expr: str) -> None:
    with pytest.raises(InvalidWorkflow, match="Invalid expression: Invalid cron expression"):
        ticks(expr, SUNDAY)


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "Europe", "../UTC", "/etc/passwd", "CEST\0"])
def test_an_unknown_time_zone_is_refused_with_what_to_do(zone: str) -> None:
    with pytest.raises(InvalidWorkflow, match="knows no time zone") as caught:
        ticks("@daily", SUNDAY, zone)

    assert "tzdata" in (caught.value.hint or "")


@given(
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=3),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=3),
    days=st.none() | st.sets(st.integers(1, 28), min_size=1, max_size=3),
    months=st.none() | st.sets(st.integers(1, 12), min_size=1, max_size=3),
    weekdays=st.none() | st.sets(st.integers(0, 7), min_size=1, max_size=3),
    after=st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_the_tick_is_the_first_matching_minute_of_the_first_matching_day(
    minutes: set[int],
    hours: set[int],
    days: set[int] | None,
    months: set[int] | None,
    weekdays: set[int] | None,
    after: datetime,
) -> None:
    def matches(day: datetime) -> bool:
        chosen = []
        if days is not None:
            chosen.append(day.day in days)
        if weekdays is not None:
            chosen.append(bool(weekdays & {day.isoweekday(), day.isoweekday() % 7}))
        return (months is None or day.month in months) and (any(chosen) or not chosen)

    fields = [
        ",".join(map(str, sorted(field))) if field is not None else "*"
        for field in (minutes, hours, days, months, weekdays)
    ]
    times = [timedelta(hours=h, minutes=m) for h in sorted(hours) for m in sorted(minutes)]

    tick = next_tick(" ".join(fields), None, after)

    day = after.replace(hour=0, minute=0, second=0, microsecond=0)
    expected = None
    while expected is None:
        if matches(day):
            expected = next((day + time for time in times if day + time > after), None)
        day += timedelta(days=1)
    assert tick == expected
