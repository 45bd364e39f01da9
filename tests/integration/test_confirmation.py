"""Confirmation: a run that needs the token of a preview, and what a token is good for."""

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from psycopg import Connection
from psycopg.rows import DictRow
from pydantic import ValidationError

from action_ledger.domain import RequestExecution, col
from action_ledger.domain.confirmation import ConfirmationPolicy
from action_ledger.domain.errors import (
    ActionLedgerError,
    ConfirmationInvalid,
    ConfirmationRequired,
    SelectionDrifted,
)
from action_ledger.ops import Ledger, Settings, open_ledger
from action_ledger.ops.builder import Request
from tests.dump import dump_ledger, dump_table, says
from tests.integration.conftest import PLACES
from tests.invariants import check_invariants
from tests.previews import dump_but_previews

Chain = Callable[[Ledger], Request]


def archive(ledger: Ledger) -> Request:
    return ledger.on("places").where(col("country") == "FR").archive("old").by("user:1")


def reason_of(run: Callable[[], object]) -> str:
    with pytest.raises(ConfirmationInvalid) as caught:
        run()
    assert says(caught.value) == "confirmation_invalid"
    return caught.value.reason


@pytest.fixture
def strict(ledger: Ledger, places: str) -> Generator[Ledger]:
    ledger.ask_to_confirm(ConfirmationPolicy(actions="destructive", above=60))
    yield ledger
    assert places == "public.places"


def test_destructive_actions_need_confirmation(
    strict: Ledger, connection: Connection[DictRow]
) -> None:
    before = dump_ledger(connection), dump_table(connection, "places")
    chains: list[Chain] = [
        archive,
        lambda ledger: ledger.on("places").keys([1]).delete().by("a"),
        lambda ledger: ledger.on("places").keys(iter([1])).delete(hard=True).by("a"),
    ]
    for chain in chains:
        for end in ("run", "submit"):
            with pytest.raises(ConfirmationRequired) as caught:
                getattr(chain(strict), end)()
            assert says(caught.value) == "confirmation_required"
    assert (dump_ledger(connection), dump_table(connection, "places")) == before
    assert strict.on("places").keys([1]).update(note="x").by("a").run().status == "completed"
    confirmed = archive(strict).confirm(archive(strict).preview().token).run()
    assert confirmed.progress().applied == PLACES // 2


def test_many_records_need_confirmation_whatever_the_action(
    strict: Ledger, connection: Connection[DictRow]
) -> None:
    on = strict.on("places")
    many = on.where(col("id") <= 61).update(note="x").by("a")
    few = on.where(col("id") <= 60).update(note="y").by("a")
    before = dump_ledger(connection)
    ends: list[Callable[[Request], object]] = [
        lambda request: request.run(),
        lambda request: request.submit(),
        lambda request: request.streaming().submit(),
        lambda request: request.streaming().run(),
    ]
    for end in ends:
        with pytest.raises(ConfirmationRequired, match="more than 60 records"):
            end(many)
    for keys in (list(range(1, 62)), range(1, 62)):
        with pytest.raises(ConfirmationRequired, match="more than 60 records"):
            on.keys(keys).update(note="x").by("a").submit()
    assert dump_ledger(connection) == before
    for end in ends:
        end(few)
    assert many.confirm(many.preview().token).run().progress().applied == 61


def test_a_retry_is_confirmed_as_any_other(strict: Ledger, connection: Connection[DictRow]) -> None:
    connection.execute("ALTER TABLE places ADD CONSTRAINT old CHECK (note <> 'x') NOT VALID")
    first = strict.on("places").where(col("id") <= 60).update(note="x").by("a").run()
    assert first.progress().failed == 60
    strict.ask_to_confirm(ConfirmationPolicy(above=59))
    retry = first.retry(by="a")
    for end in (retry.run, retry.submit):
        with pytest.raises(ConfirmationRequired):
            end()
    connection.execute("ALTER TABLE places DROP CONSTRAINT old")
    assert retry.confirm(retry.preview().token).run().progress().applied == 60


def test_an_actors_first_destructive_run_needs_a_preview(ledger: Ledger, places: str) -> None:
    ledger.ask_to_confirm(ConfirmationPolicy(first=True))
    one = ledger.on(places).keys([1])
    one.update(note="x").by("user:1").run()
    with pytest.raises(ConfirmationRequired, match="first"):
        one.archive().by("user:1").run()
    request = one.archive().by("user:1")
    request.confirm(request.preview().token).run()
    ledger.on(places).keys([2]).delete().by("user:1").run()
    with pytest.raises(ConfirmationRequired, match="first"):
        ledger.on(places).keys([2]).delete().by("user:2").run()


def test_a_token_is_of_one_request(
    ledger: Ledger, connection: Connection[DictRow], places: str
) -> None:
    connection.execute("CREATE TABLE others (LIKE places INCLUDING ALL)")
    connection.execute("INSERT INTO others SELECT * FROM places")
    french = col("country") == "FR"
    on = ledger.on(places)
    token = archive(ledger).preview().token
    others: dict[str, Request] = {
        "action": on.where(french).delete(),
        "parameter": on.where(french).archive("new"),
        "table": ledger.on("others").where(french).archive("old"),
        "wider": on.where(french | (col("id") == 1)).archive("old"),
        "same records, other words": on.where(french & (col("id") > 0)).archive("old"),
        "keys": on.keys(list(range(2, 101, 2))).archive("old"),
        "frozen": on.where(french).archive("old").frozen(),
        "irreversible": on.where(french).archive("old").irreversible(),
        "window": on.where(french).archive("old").undoable(days=1),
        "policy": on.where(french).archive("old").on_failure("stop"),
    }
    before = dump_ledger(connection), dump_table(connection, places)
    for name, other in others.items():
        for end in ("run", "submit"):
            assert reason_of(getattr(other.by("user:1").confirm(token), end)) == "other_request", (
                name
            )
    assert (dump_ledger(connection), dump_table(connection, places)) == before
    how = archive(ledger).batch_size(3).queue("slow", priority=5).rate(10**6).adaptive(seconds=1)
    assert (
        how.by("user:1", reason="another").streaming().confirm(token).submit().progress().total
        == 50
    )


def test_keys_are_the_same_however_they_are_given(ledger: Ledger, places: str) -> None:
    def request(keys: Any) -> Request:
        return ledger.on(places).keys(keys).update(note="x").by("a")

    forms: list[Callable[[Any], Any]] = [list, iter]
    hashes = {
        request(form(keys)).batch_size(size).preview().plan_hash
        for keys in ([3, 1, 2, 2], (1, 2, 3), range(1, 4), ["1", "2", "3"])
        for form in forms
        for size in (1, 2, 10_000)
    }
    assert len(hashes) == 1
    for other in ([1, 2], [1, 2, 4], [1, 2, 3, 4], []):
        assert request(other).preview().plan_hash not in hashes
        token = request([1, 2, 3]).preview().token
        with pytest.raises(SelectionDrifted):
            request(other).confirm(token).run()


@pytest.mark.every_postgres
def test_plan_hashes_of_large_and_composite_keys(
    ledger: Ledger, connection: Connection[DictRow]
) -> None:
    """Beyond one chunk, whatever the batches; and no two keys run into one another."""
    connection.execute("CREATE TABLE pair (a text, b text, n int, PRIMARY KEY (a, b))")
    connection.execute(
        "INSERT INTO pair SELECT 'k' || i / 100, 'v,\"' || i, i FROM generate_series(1, 10000) i"
    )
    request = ledger.on("pair").all().update(n=1).by("a")
    whole = {
        request.batch_size(size).preview(0, records=0).plan_hash for size in (999, 4096, 10_000)
    }
    assert len(whole) == 1
    connection.execute("UPDATE pair SET b = b || '-' WHERE n = 10000")
    assert request.preview(0, records=0).plan_hash not in whole
    connection.execute("TRUNCATE pair; INSERT INTO pair VALUES ('a', 'b,c', 1)")
    one = request.preview().plan_hash
    connection.execute("TRUNCATE pair; INSERT INTO pair VALUES ('a,b', 'c', 1)")
    assert request.preview().plan_hash != one


def test_a_token_is_of_one_actor_and_for_a_while(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    request = archive(ledger)
    preview = request.preview()
    assert reason_of(request.by("user:2").confirm(preview.token).run) == "other_actor"
    ledger.ask_to_confirm(ConfirmationPolicy(ttl_seconds=0.000001))
    assert reason_of(request.confirm(preview.token).run) == "expired"
    ledger.ask_to_confirm(ConfirmationPolicy())
    before = dump_table(connection, places)
    assert reason_of(request.confirm(f"{uuid4()}.{preview.plan_hash[:16]}").run) == "unknown"
    assert reason_of(request.confirm(f"{preview.id}.{'0' * 16}").run) == "unknown"
    other = ledger.on(places).keys([1]).update(note="x").by("user:1").run()
    assert reason_of(request.confirm(f"{other.id}.{preview.plan_hash[:16]}").run) == "unknown"
    assert len([r for r in before if "old" in r]) == 0
    assert request.confirm(preview.token).run().progress().applied == 50


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "x",
        "\0",
        "a" * 10**6,
        "'; DROP TABLE places; --",
        "0.0",
        None,
        5,
        b"x",
        "\ud800",
        "é" * 36,
    ],
    ids=range(11),
)
def test_what_is_no_token(ledger: Ledger, places: str, garbage: Any) -> None:
    request = archive(ledger)
    assert reason_of(lambda: request.confirm(garbage)) == "unknown"
    fields = request.command().model_dump(mode="json") | {"confirmation": garbage}
    if garbage is None:
        return
    try:
        command = RequestExecution.model_validate(fields)
    except ValidationError:
        return
    assert reason_of(lambda: ledger.handle(command, now=True)) == "unknown"
    assert ledger.executions() == []
    assert places


def test_a_token_is_good_once(ledger: Ledger, places: str) -> None:
    request = archive(ledger)
    token = request.preview().token
    command = request.confirm(token).command()
    first = ledger.handle(command, now=True)
    assert ledger.handle(command, now=True) == first, "sent again, it is the same command"
    assert reason_of(request.confirm(token).run) == "used"
    assert reason_of(request.confirm(token).submit) == "used"
    assert len(ledger.executions()) == 1
    assert places


@pytest.mark.parametrize("now", [True, False])
def test_of_eight_uses_at_once_one_is_good(
    ledger: Ledger, places: str, connection: Connection[DictRow], *, now: bool
) -> None:
    request = ledger.on(places).all().update(score=col("score") + 1).by("a")
    token = request.preview().token
    barrier = Barrier(8)

    def use(_: int) -> str:
        command = request.confirm(token).command()
        barrier.wait()
        try:
            ledger.handle(command, now=now)
        except ConfirmationInvalid as error:
            return error.reason
        return "good"

    with ThreadPoolExecutor(8) as pool:
        came = sorted(pool.map(use, range(8)))
    assert came == ["good", *["used"] * 7]
    ledger.execution(ledger.executions()[0].id).finish()
    assert [row["score"] for row in connection.execute("SELECT score FROM places ORDER BY id")] == [
        n + 1 for n in range(1, PLACES + 1)
    ]
    ledger.catch_up()
    check_invariants(connection, ledger=ledger, tables=[places])


CHANGES = {
    "a record more": "INSERT INTO places (id, name, country, score) VALUES (101, 'x', 'FR', 1)",
    "a record less": "DELETE FROM places WHERE id = 2",
    "another instead": "UPDATE places SET country = CASE id WHEN 1 THEN 'FR' ELSE 'DE' END WHERE id IN (1, 2)",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("end", ["run", "submit"])
def test_a_selection_that_has_drifted_stops_it(
    ledger: Ledger, places: str, connection: Connection[DictRow], change: str, end: str
) -> None:
    request = archive(ledger).batch_size(10)
    token = request.preview().token
    connection.execute(CHANGES[change].encode())
    before = dump_but_previews(connection), dump_table(connection, places)
    with pytest.raises(SelectionDrifted) as caught:
        getattr(request.confirm(token), end)()
    assert says(caught.value) == "selection_drifted"
    found = 50 + {"a record more": 1, "a record less": -1, "another instead": 0}[change]
    assert (caught.value.previewed, caught.value.found) == (50, found)
    assert (dump_but_previews(connection), dump_table(connection, places)) == before
    again = request.confirm(request.preview().token).run()
    assert again.progress().applied == found


def test_some_drift_may_be_tolerated(
    ledger: Ledger, places: str, connection: Connection[DictRow]
) -> None:
    ledger.ask_to_confirm(ConfirmationPolicy(drift=0.04))
    request = archive(ledger)
    token = request.preview().token
    connection.execute("DELETE FROM places WHERE id IN (2, 4, 6)")
    with pytest.raises(SelectionDrifted):
        request.confirm(token).run()
    connection.execute("INSERT INTO places (id, name, country, score) VALUES (6, 'x', 'FR', 1)")
    assert request.confirm(token).run().progress().applied == 48
    keys = ledger.on(places).keys(list(range(7, 107))).update(note="x").by("user:1")
    token = keys.preview().token
    with pytest.raises(SelectionDrifted):
        ledger.on(places).keys(list(range(8, 107))).update(note="x").by("user:1").confirm(
            token
        ).run()


def test_who_confirmed_it_is_recorded(ledger: Ledger, places: str) -> None:
    request = archive(ledger)
    preview = request.preview()
    execution = request.confirm(preview.token).run()
    requested = next(
        entry
        for entry in ledger.audit(execution_id=execution.id)
        if entry.topic == "execution.requested"
    )
    assert requested.details["preview_id"] == str(preview.id)
    made, used = ledger.audit(execution_id=preview.id)
    assert (made.topic, used.topic) == ("preview.made", "preview.used")
    assert used.details["execution_id"] == str(execution.id)
    assert made.position < used.position < requested.position
    unconfirmed = ledger.on(places).keys([1]).update(note="x").by("a").run()
    (entry, *_) = ledger.audit(execution_id=unconfirmed.id)
    assert entry.details["preview_id"] is None


def test_settings_say_what_has_to_be_confirmed(database_url: str, places: str) -> None:
    assert Settings().confirmation == ConfirmationPolicy()
    assert Settings().cli_confirmation == ConfirmationPolicy(actions="destructive", above=1_000)
    asked = {"confirm": "always", "confirm_above": 10, "confirm_drift": 0.5, "confirm_first": True}
    settings = Settings.model_validate({**asked, "confirm_ttl_seconds": 60})
    policy = ConfirmationPolicy(actions="always", above=10, first=True, ttl_seconds=60, drift=0.5)
    assert settings.confirmation == settings.cli_confirmation == policy
    with open_ledger(database_url, settings=settings) as ledger:
        request = ledger.on(places).keys([1]).update(note="x").by("a")
        with pytest.raises(ActionLedgerError):
            request.run()
        preview = request.preview()
        assert request.confirm(preview.token).run().status == "completed"
