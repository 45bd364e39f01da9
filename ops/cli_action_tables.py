"""Shows actions: all of them as a table, one with its parameters."""

from collections.abc import Iterable, Iterator
from typing import Any

from action_ledger.domain.actions import Action

from .action_views import ActionView
from .cli_terminal import Terminal


def list_actions(terminal: Terminal, actions: Iterable[Action]) -> None:
    """List actions, one a line."""
    found = [ActionView.of(action) for action in actions]
    if terminal.as_json:
        terminal.give(found)
        return
    rows = (
        (view.name, _kind(view), view.destructive, view.reversibility.value, view.description)
        for view in found
    )
    headers = ("NAME", "KIND", "DESTRUCTIVE", "UNDO", "WHAT IT DOES")
    terminal.table(headers, rows, whole=("NAME", "KIND", "DESTRUCTIVE", "UNDO"))


def show_action(terminal: Terminal, action: Action) -> None:
    """Show one, with what it takes."""
    view = ActionView.of(action)
    if terminal.as_json:
        terminal.give(view)
        return
    terminal.say(f"{view.name}: {view.label}", "bold")
    terminal.say(view.description)
    terminal.facts(
        (
            ("kind", _kind(view)),
            ("destructive", view.destructive),
            ("undo", view.reversibility.value),
            ("queue", view.queue),
            ("batch size", view.batch_size),
        )
    )
    parameters = list(_parameters(view.parameters))
    if not parameters:
        terminal.say("It takes no parameters.")
        return
    terminal.say()
    terminal.table(("PARAMETER", "TYPE", "NEEDED", "DEFAULT", "WHAT IT IS"), parameters)


def _kind(view: ActionView) -> str:
    return view.kind.replace("_", "-")


def _parameters(schema: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    needed = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        default = "" if "default" not in field else _shown(field["default"])
        yield name, _type(field), name in needed, default, field.get("description", "")


def _shown(value: object) -> object:
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _type(field: dict[str, Any]) -> str:
    """Name the type of a parameter as its schema has it, in a word or two."""
    if "anyOf" in field:
        return " or ".join(map(_type, field["anyOf"]))
    if "enum" in field:
        return " or ".join(map(str, field["enum"]))
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    return str(field.get("format") or field.get("type", "any"))
