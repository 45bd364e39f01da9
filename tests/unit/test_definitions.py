"""How a function or a class becomes an action: what is taken from it, and which definitions are refused at once."""

from typing import Any

import pytest
from pydantic import BaseModel, Field

from action_ledger.domain import (
    Action,
    Actions,
    Effect,
    Parameters,
    RecordAction,
    Reversibility,
    SetAction,
    effect,
    record_action,
    set_action,
)
from action_ledger.domain.actions import BUILT_IN
from action_ledger.domain.errors import InvalidAction


class Bonus(Parameters):
    """What is given."""

    points: int = Field(ge=1)


def give(parameters: Bonus) -> dict[str, Any]:
    """Give points to customers.

    They are not told.
    """
    return {"points": parameters.points}


def each(record: Any, parameters: Bonus) -> Any:
    """Give points one by one."""
    return {"points": record["points"] + parameters.points}


async def tell(_record: Any, _parameters: Bonus, _context: Any) -> None:
    """Tell them."""


def test_what_is_not_said_is_taken_from_the_function() -> None:
    action = set_action(give)
    assert (action.name, action.label) == ("give", "Give")
    assert action.description == "Give points to customers."
    assert action.parameters is Bonus
    assert (action.destructive, action.reversibility) == (False, Reversibility.REVERSIBLE)
    assert (action.queue, action.batch_size) == (None, None)
    assert (record_action(each).parameters, record_action(each).batch_size) == (Bonus, 1_000)
    assert (effect(tell).parameters, effect(tell).reversibility) == (
        Bonus,
        Reversibility.IRREVERSIBLE,
    )


def test_everything_can_be_said() -> None:
    said: dict[str, Any] = {
        "name": "give-points",
        "parameters": Parameters,
        "label": "Give points",
        "description": "It gives them.",
        "destructive": True,
        "reversibility": Reversibility.IRREVERSIBLE,
        "queue": "night",
        "batch_size": 7,
    }
    kinds: list[tuple[Any, Any, Any]] = [
        (set_action, SetAction, give),
        (record_action, RecordAction, each),
        (effect, Effect, tell),
    ]
    for define, kind, handler in kinds:
        made: Action = define(**said)(handler)
        assert made == kind(handler=handler, **said)
        assert all(getattr(made, name) == value for name, value in said.items())


class Customer(BaseModel):
    """A customer, some of whose fields are called otherwise in the table."""

    id: int
    points: int = Field(validation_alias="points_now")


def test_an_action_may_be_a_class() -> None:
    class GivePoints:
        """Give points, as a class."""

        label = "Points"
        parameters = Bonus
        model = Customer
        destructive = True
        timeout = 5.0

        def handler(self, record: Customer, parameters: Bonus) -> Any:
            return {"points_now": self._sum(record, parameters)}

        def _sum(self, record: Customer, parameters: Bonus) -> int:
            return record.points + parameters.points

    action = record_action(GivePoints)
    assert isinstance(action, RecordAction)
    assert (action.name, action.label, action.destructive) == ("give_points", "Points", True)
    assert action.columns == ("id", "points_now")
    record = action.given({"id": 1, "points_now": 2})
    assert action.handler(record, Bonus(points=3)) == {"points_now": 5}
    assert record_action(name="other", timeout=1)(GivePoints).timeout == 1


def test_an_effect_may_be_a_class() -> None:
    class Remind:
        """Remind them."""

        reversibility = Reversibility.COMPENSABLE

        async def handler(self, record: Any, _parameters: Bonus, _context: Any) -> Any:
            return record

        def compensate(self, record: Any, _parameters: Bonus, _result: Any, _context: Any) -> Any:
            return record

    action = effect(Remind)
    assert (action.name, action.parameters) == ("remind", Bonus)
    assert action.compensate is not None


def wrong(kind: Any, **options: Any) -> str:
    with pytest.raises(InvalidAction) as raised:
        kind(**options)
    assert raised.value.code == "invalid_action"
    return raised.value.detail


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"name": "two words"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"parameters": dict}, "Parameters"),
        ({"parameters": BaseModel}, "Parameters"),
        ({"parameters": Bonus(points=1)}, "Parameters"),
        ({"label": ""}, "label"),
        ({"description": ""}, "description"),
        ({"queue": " "}, "queue"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 100_001}, "batch_size"),
        ({"handler": None}, "cannot be called"),
        ({"handler": lambda: None}, "has to take"),
        ({"handler": lambda _a, _b, _c, _d: None}, "has to take"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "handler"), [(SetAction, give), (RecordAction, each), (Effect, tell)]
)
def test_a_wrong_definition_is_refused_at_once(
    kind: Any, handler: Any, options: dict[str, Any], detail: str
) -> None:
    good = {
        "name": "a",
        "parameters": Bonus,
        "label": "A",
        "description": "B.",
        "handler": handler,
    }
    assert kind(**good).name == "a"
    assert detail in wrong(kind, **{**good, **options})


def test_what_a_kind_cannot_be_is_refused() -> None:
    kinds: list[tuple[Any, Any]] = [(set_action, give), (record_action, each)]
    for define, handler in kinds:
        with pytest.raises(InvalidAction, match="only an effect is compensable"):
            define(reversibility=Reversibility.COMPENSABLE)(handler)
    with pytest.raises(InvalidAction, match="an effect may be"):
        record_action(parameters=Bonus)(tell)
    with pytest.raises(InvalidAction, match="timeout"):
        record_action(timeout=0)(each)
    with pytest.raises(InvalidAction, match="pydantic"):
        record_action(model=dict)(each)  # type: ignore[arg-type]
    with pytest.raises(InvalidAction, match="no change set"):
        effect(reversibility=Reversibility.REVERSIBLE)(tell)


def test_what_a_function_does_not_say_has_to_be_said() -> None:
    with pytest.raises(InvalidAction, match="description"):
        set_action(name="a", parameters=Bonus)(lambda _parameters: {})
    with pytest.raises(InvalidAction, match="annotate"):
        set_action(name="a", description="B.")(lambda _parameters: {})

    def untyped(_record: Any, _parameters: Any) -> None:
        """Say nothing of its parameters."""

    with pytest.raises(InvalidAction, match="extends Parameters"):
        record_action(untyped)
    with pytest.raises(InvalidAction, match="unexpected keyword argument 'colums'"):
        record_action(colums=("a",))(each)  # type: ignore[call-overload]


def test_a_class_with_what_no_action_has_is_refused() -> None:
    class Mistyped:
        """Say it wrongly."""

        lable = "A"

        def handler(self, record: Any, _parameters: Bonus) -> Any:
            return record

    class Wanting:
        """Want an argument."""

        def __init__(self, more: int) -> None:
            self._more = more

    with pytest.raises(InvalidAction, match="RecordAction has no lable"):
        record_action(Mistyped)
    with pytest.raises(InvalidAction, match="made without arguments"):
        record_action(Wanting)
    with pytest.raises(InvalidAction):
        record_action(type("Empty", (), {"__doc__": "Do nothing."}))


def test_the_registry_takes_actions_that_say_what_they_do() -> None:
    registry = Actions((*BUILT_IN, set_action(give)))
    assert [action.kind for action in registry] == ["built_in"] * len(BUILT_IN) + ["set"]
    for other, detail in (
        (Action(name="a", parameters=Bonus, label="A", description="B."), "SetAction"),
        (give, "it is none"),
        (set_action(name="update")(give), "another action has this name"),
    ):
        with pytest.raises(InvalidAction, match=detail):
            Actions((*BUILT_IN, other))  # type: ignore[arg-type]
