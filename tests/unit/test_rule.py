"""When a schedule is due: cron expressions and times, above all on the two nights when the clocks are changed."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from action_ledger.domain.errors import (
    ActionLedgerError,
    InvalidCron,
    InvalidSchedule,
    UnknownTimeZone,
)
from action_ledger.domain.rule import At, Cron, newest_occurrences, next_after, occurrences
from action_ledger.ops.rules import rule_of

PARIS = ZoneInfo("Europe/Paris")
FORWARD, BACK = datetime(2026, 3, 29, tzinfo=PARIS), datetime(2026, 10, 25, tzinfo=PARIS)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def on_the_night(expression: str, day: datetime, zone: str = "Europe/Paris") -> list[str]:
    """List the occurrences of one local day, by its own clocks."""
    rule = Cron(cron=expression, timezone=zone)
    start = day.replace(tzinfo=ZoneInfo(zone))
    end = start + timedelta(days=1)
    before = start.astimezone(UTC) - timedelta(microseconds=1)
    found: list[str] = []
    for moment in rule.after(before):
        if moment >= end.astimezone(UTC):
            break
        found.append(moment.astimezone(start.tzinfo).isoformat())
    return found


class TestCronWhenClocksChange:
    def test_a_time_that_is_skipped_is_due_once_right_after_the_gap(self) -> None:
        assert on_the_night("30 2 * * *", FORWARD) == ["2026-03-29T03:00:00+02:00"]

    def test_a_time_that_comes_twice_is_due_the_first_time_only(self) -> None:
        assert on_the_night("30 2 * * *", BACK) == ["2026-10-25T02:30:00+02:00"]

    def test_who_asks_in_the_second_pass_is_not_given_what_is_over(self) -> None:
        rule = Cron(cron="30 2 * * *", timezone="Europe/Paris")
        asked = datetime(2026, 10, 25, 2, 15, fold=1, tzinfo=PARIS).astimezone(UTC)
        assert next_after(rule, asked) == utc("2026-10-26T01:30")
        assert next_after(rule, utc("2026-10-25T00:30")) == utc("2026-10-26T01:30")

    def test_two_times_in_the_gap_are_due_together_once(self) -> None:
        assert on_the_night("0,30 2 * * *", FORWARD) == ["2026-03-29T03:00:00+02:00"]
        assert on_the_night("30 2,3 * * *", FORWARD) == [
            "2026-03-29T03:00:00+02:00",
            "2026-03-29T03:30:00+02:00",
        ]

    def test_every_half_hour_follows_the_hours_as_they_pass(self) -> None:
        assert len(on_the_night("*/30 * * * *", FORWARD)) == 46
        assert len(on_the_night("*/30 * * * *", BACK)) == 50

    @pytest.mark.parametrize(
        ("zone", "expression", "day", "due"),
        [
            ("America/New_York", "30 2 * * *", "2026-03-08", "2026-03-08T03:00:00-04:00"),
            ("America/New_York", "30 1 * * *", "2026-11-01", "2026-11-01T01:30:00-04:00"),
            ("Australia/Lord_Howe", "15 2 * * *", "2026-10-04", "2026-10-04T02:30:00+11:00"),
            ("Australia/Lord_Howe", "45 1 * * *", "2026-04-05", "2026-04-05T01:45:00+11:00"),
            ("Africa/Cairo", "0 0 * * *", "2026-04-24", "2026-04-24T01:00:00+03:00"),
            ("Asia/Kathmandu", "30 2 * * *", "2026-03-29", "2026-03-29T02:30:00+05:45"),
        ],
    )
    def test_other_zones(self, zone: str, expression: str, day: str, due: str) -> None:
        assert on_the_night(expression, datetime.fromisoformat(day), zone) == [due]

    @pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York", "Africa/Cairo", "UTC"])
    @pytest.mark.parametrize("hour", [0, 1, 2, 3])
    def test_once_each_day_of_three_years(self, zone: str, hour: int) -> None:
        rule = Cron(cron=f"30 {hour} * * *", timezone=zone)
        found = list(islice(rule.after(utc("2026-01-01T12:00")), 1_096))
        days = [moment.astimezone(ZoneInfo(zone)).date() for moment in found]
        assert days == [days[0] + timedelta(days=n) for n in range(1_096)]
        assert all(earlier < later for earlier, later in pairwise(found))


class TestOneTime:
    def test_one_that_is_skipped_is_the_first_minute_after_the_gap(self) -> None:
        for local in ("2026-03-29T02:00", "2026-03-29T02:30:15", "2026-03-29T02:59:59.9"):
            rule = At(at=datetime.fromisoformat(local), timezone="Europe/Paris")
            assert rule.moment() == utc("2026-03-29T01:00")
            assert rule.skipped

    def test_one_that_the_clocks_show_is_not_skipped(self) -> None:
        for said in ("2026-03-29T03:00", "2026-10-25T02:30", "2026-03-29T02:30+00:00"):
            assert not At(at=datetime.fromisoformat(said), timezone="Europe/Paris").skipped

    def test_a_whole_day_that_is_skipped(self) -> None:
        rule = At(at=datetime.fromisoformat("2011-12-30T12:00"), timezone="Pacific/Apia")
        assert rule.moment() == utc("2011-12-30T10:00")  # midnight of the 31st

    def test_one_that_comes_twice_is_the_first(self) -> None:
        rule = rule_of(at="2026-10-25 02:30", cron=None, timezone="Europe/Paris")
        assert isinstance(rule, At)
        assert rule.moment() == utc("2026-10-25T00:30")

    def test_the_second_can_be_asked_for(self) -> None:
        second = datetime(2026, 10, 25, 2, 30, fold=1)  # noqa: DTZ001 - a local time
        for at in (second, "2026-10-25T02:30+01:00", second.replace(tzinfo=PARIS)):
            rule = rule_of(at=at, cron=None, timezone="Europe/Paris")
            again = At.model_validate_json(rule.model_dump_json())
            assert again.moment() == utc("2026-10-25T01:30")
            assert again.zone == "Europe/Paris"

    def test_an_aware_time_keeps_its_zone_for_showing_it(self) -> None:
        rule = rule_of(at=datetime(2027, 7, 1, 9, tzinfo=PARIS), cron=None, timezone=None)
        assert rule.zone == "Europe/Paris"
        assert rule_of(at="2027-07-01T09:00+02:00", cron=None, timezone=None).zone == "UTC"

    def test_it_is_due_once(self) -> None:
        rule = At(at=utc("2027-01-01T00:00"))
        assert next_after(rule, utc("2026-12-31T23:59")) == rule.at
        assert next_after(rule, rule.at) is None


class TestWhatCannotBe:
    @pytest.mark.parametrize(
        "expression",
        ["", "* * *", "61 * * * *", "* * * * * *", "@daily", "0 0 30 2 *", "0 0 31 4,6 *", "a b c d e",
         "5-1 * * * *", "*/0 * * * *", "* * * * MON#2/3", "* * * * 1#6", "1,,2 * * * *", "² * * * *",
         "* * * * L", "* * L/x * *", "- * * * *", "-1 * * * *", "* * 0 * *", "* * * 13 *", "* * * * 8"],
    )  # fmt: skip
    def test_cron(self, expression: str) -> None:
        with pytest.raises(InvalidCron) as caught:
            Cron(cron=expression, timezone="UTC").check()
        assert caught.value.expression == repr(expression)

    @pytest.mark.parametrize(
        "zone",
        ["", "Europe/Pariss", "../etc/passwd", "/etc/localtime", "localtime", "Europe", "\0", "x" * 200, "é"],
    )  # fmt: skip
    def test_zone(self, zone: str) -> None:
        at = datetime.fromisoformat("2027-01-01T00:00")
        for rule in (Cron(cron="* * * * *", timezone=zone), At(at=at, timezone=zone)):
            with pytest.raises(UnknownTimeZone):
                rule.check()

    def test_a_zone_that_looks_like_one(self) -> None:
        with pytest.raises(UnknownTimeZone, match="Did you mean Europe/Paris") as caught:
            Cron(cron="* * * * *", timezone="Europe/Pariss").check()
        assert "localtime" not in caught.value.suggestions

    def test_no_zone(self) -> None:
        for rule in (
            Cron(cron="* * * * *"),
            At(at=datetime.fromisoformat("2027-01-01T00:00")),
        ):
            with pytest.raises(InvalidSchedule, match="time zone is needed"):
                rule.check()

    def test_neither_or_both_or_no_time(self) -> None:
        for at, cron in ((None, None), ("2027-01-01", "* * * * *"), ("tomorrow", None)):
            with pytest.raises(InvalidSchedule):
                rule_of(at=at, cron=cron, timezone="UTC")
        with pytest.raises(InvalidSchedule):
            rule_of(at=None, cron="* " * 200, timezone="UTC")

    def test_a_time_that_some_zone_cannot_show(self) -> None:
        for at, zone in (
            ("9999-12-31T23:59:59-12:00", None),
            ("0001-01-01T00:00:00", "Asia/Tokyo"),
            ("9999-12-31T23:59:59", "America/New_York"),
        ):
            with pytest.raises(InvalidSchedule, match="year"):
                rule_of(at=at, cron=None, timezone=zone)


FIELDS = st.tuples(
    st.sampled_from(["0", "30", "*/7", "*", "5,55", "10-12"]),
    st.sampled_from(["*", "2", "1-3", "*/5", "0", "23"]),
    st.sampled_from(["*", "*", "1", "L", "*/10"]),
    st.sampled_from(["*", "*", "3,10", "4"]),
    st.sampled_from(["*", "*", "SUN", "MON-FRI", "1#2"]),
)
ZONES = st.sampled_from(["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"])
NEAR_A_CHANGE = [utc("2026-03-29T01:00"), utc("2026-10-25T01:00"), utc("2026-11-01T06:00")]
MOMENTS = st.one_of(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.builds(
        lambda near, minutes: near + timedelta(minutes=minutes),
        st.sampled_from(NEAR_A_CHANGE),
        st.integers(-200, 200),
    ),
)


@given(FIELDS, ZONES, MOMENTS, st.integers(0, 12))
def test_wherever_one_begins_the_occurrences_are_the_same(
    fields: tuple[str, ...], zone: str, start: datetime, skipped: int
) -> None:
    """Later than asked for, each later than the last; and a worker that begins in the middle finds the same."""
    rule = Cron(cron=" ".join(fields), timezone=zone)
    try:
        rule.check()
    except ActionLedgerError:
        return
    found = list(islice(rule.after(start), 15))
    assert found
    assert start < found[0]
    assert all(earlier < later for earlier, later in pairwise(found))
    begin = found[skipped] if skipped else start
    assert list(islice(rule.after(begin), 2)) == [m for m in found if m > begin][:2]


@given(FIELDS, ZONES, MOMENTS, st.integers(0, 3_000_000), st.integers(1, 5))
def test_the_newest_are_the_last_of_all(
    fields: tuple[str, ...], zone: str, start: datetime, seconds: int, count: int
) -> None:
    rule = Cron(cron=" ".join(fields), timezone=zone)
    try:
        rule.check()
    except ActionLedgerError:
        return
    due = next(rule.after(start))
    until = start + timedelta(seconds=seconds)
    every = list(islice(occurrences(rule, due, until), 60_000))
    assert newest_occurrences(rule, due, until, count) == every[-count:]
