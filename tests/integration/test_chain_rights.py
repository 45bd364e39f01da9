"""Chains keep to what holds for their executions: keys, a host's transaction, the host's rules, and limits."""

from typing import Any

import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import DictRow

from action_ledger.domain.chain_commands import RequestChain
from action_ledger.domain.errors import InHostTransaction, InvalidParameters, NotAuthorized
from action_ledger.domain.policy import Phase
from action_ledger.ops import Ledger
from tests.chains import add_one, added, make_tables, states, three
from tests.crash.harness import topics
from tests.integration.test_authorize import Asked, ruled
from tests.integration.test_limits import limited
from tests.invariants import check_invariants


@pytest.fixture(autouse=True)
def tables(connection: Connection[DictRow]) -> None:
    make_tables(connection)


def test_one_key_is_one_chain(ledger: Ledger, connection: Connection[DictRow]) -> None:
    first = three(ledger).once("order-7").run()
    assert three(ledger).once("order-7").run().id == first.id
    assert added(connection) == [[1], [1], [1]]
    assert len(ledger.chains()) == 1


def test_a_step_has_no_key_of_its_own(ledger: Ledger) -> None:
    step = add_one(ledger, "first").once("order-7")
    with pytest.raises(InvalidParameters, match="the chain has one"):
        step.then(add_one(ledger, "second")).by("user:1").submit()


def test_in_a_hosts_transaction(
    ledger: Ledger, connection: Connection[DictRow], database_url: str
) -> None:
    with psycopg.connect(database_url) as host:
        inside = ledger.within(host)
        with pytest.raises(InHostTransaction):
            three(inside).run()
        chain = three(inside).submit()
        chain.cancel(by="user:1")
        host.rollback()
        assert (ledger.inbox.take_in(), topics(connection)) == (0, {})
        chain, gone = three(inside).submit(), three(inside).submit()
        gone.cancel(by="user:1")
    assert ledger.inbox.take_in() == 3
    ledger.chain(chain.id).finish()
    assert (chain.status, gone.status, added(connection)) == (
        "completed",
        "cancelled",
        [[1], [1], [1]],
    )
    check_invariants(connection, ledger=ledger, tables=["first", "second", "third"])


def test_the_host_is_asked_about_the_chain_and_each_step(database_url: str) -> None:
    with ruled(database_url, asked := Asked()) as ledger:
        chain = three(ledger).submit()
        assert asked.phases == [Phase.REQUEST]
        assert isinstance(asked.commands[0], RequestChain)
        while chain.advance():
            chain.steps()
        chain.pause(by="user:1")
        assert asked.phases[1:] == [Phase.REQUEST, Phase.STEER]
        chain.resume(by="user:1")
        chain.finish()
        asked.phases.clear()
        chain.undo(by="user:7")
        assert asked.phases == [Phase.UNDO]


@pytest.mark.parametrize("until", [{"request": 0}, {"steer": 0}, {"undo": 0}])
def test_a_no_leaves_nothing(
    database_url: str, connection: Connection[DictRow], until: dict[str, Any]
) -> None:
    with ruled(database_url, Asked(**until)) as ledger, ruled(database_url, Asked()) as free:
        chain = free.chain(three(free).submit().id)
        if "undo" in until:
            chain.finish()
        handle, before = ledger.chain(chain.id), topics(connection)
        ways: dict[str, Any] = {
            "request": three(ledger).submit,
            "steer": lambda: handle.cancel(by="user:1"),
            "undo": lambda: handle.undo(by="user:1"),
        }
        with pytest.raises(NotAuthorized):
            ways[next(iter(until))]()
        assert topics(connection) == {**before, "command.rejected": 1}
        (rejected,) = [one for one in ledger.audit() if one.topic == "command.rejected"]
        assert "request" in until or rejected.execution_id == chain.id


def test_a_step_that_may_not_be_is_refused_and_the_others_taken_back(
    database_url: str, connection: Connection[DictRow]
) -> None:
    with ruled(database_url, Asked(request=3)) as ledger:  # the chain, and two of its steps
        chain = three(ledger).run()
        assert (chain.status, chain.view().error) == ("compensated", "not_authorized")
        assert (states(chain)[2], added(connection)) == ("refused", [[0], [0], [0]])
        check_invariants(connection, ledger=ledger, tables=["first", "second", "third"])


def test_a_step_waits_where_its_actor_is_at_a_limit(
    database_url: str, connection: Connection[DictRow]
) -> None:
    with limited(database_url, max_concurrent_executions=1) as ledger:
        other = add_one(ledger, "first").by("user:1").submit()
        chain = three(ledger).submit()
        assert chain.advance(), "it is looked at, and put off"
        assert (chain.status, states(chain)[0]) == ("running", "waiting")
        other.finish()
        chain.finish()
        assert (chain.status, added(connection)) == ("completed", [[2], [1], [1]])
