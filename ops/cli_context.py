"""The context of a command as it was typed: --context name=value, again for each further setting, and --role."""

from collections.abc import Sequence
from typing import Annotated

import typer

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--context",
        metavar="SETTING=VALUE",
        help="Whose rights count, under row-level security: app.tenant_id=7.",
    ),
]
Role = Annotated[
    str | None,
    typer.Option("--role", help="The database's role whose rights count."),
]


def typed_settings(given: Sequence[str] | None) -> dict[str, str] | None:
    """Read settings; None where none were typed. Raises InvalidContext."""
    if not given:
        return None
    from action_ledger.domain.errors import InvalidContext, shown

    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name in found:
            twice = " twice" if name in found else ""
            detail = f"--context takes setting=value, and was given {shown(text)}{twice}"
            raise InvalidContext(detail=detail)
        found[name] = value
    return found
