"""Tables of records: what failed, what was in conflict, what was changed, and samples of what would be."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from action_ledger.workers.undo_previewed import Conflict

from .cli_terminal import LONG_TEXT, QUIET, Terminal, cell
from .outcomes import Outcome

Image = Mapping[str, str | None] | None
ChangeRow = tuple[str, str | Text, Text, Text]
VALUE_LENGTH = 40
_PLAIN_KEY = re.compile(r"[\w.:-]+")


def key_text(key: Sequence[str]) -> str:
    """Show a key as it can be given again: its text, or a JSON array where it has several columns."""
    return key[0] if len(key) == 1 else json.dumps(list(key), ensure_ascii=False)


def keys_text(keys: Iterable[Sequence[str]]) -> str:
    """Show keys as ``--keys`` takes them: with commas, or as JSON where a comma would not do."""
    found = list(keys)
    plain = all(len(key) == 1 and _PLAIN_KEY.fullmatch(key[0]) for key in found)
    if plain:
        return ",".join(key[0] for key in found)
    return json.dumps([k[0] if len(k) == 1 else list(k) for k in found], ensure_ascii=False)


def failures_table(terminal: Terminal, failures: Iterable[Outcome]) -> None:
    """Show records that the database refused."""
    rows = (
        (_row_text(one), one.batch, one.sqlstate or one.reason, one.message or "")
        for one in failures
    )
    terminal.table(("KEY", "BATCH", "CODE", "MESSAGE"), rows, right=("BATCH",), whole=("KEY",))


def conflicts_table(terminal: Terminal, conflicts: Iterable[Outcome | Conflict]) -> None:
    """Show records that somebody changed since: what the ledger had written, and what is there now."""
    rows = (row for one in conflicts for row in _conflict(terminal, one))
    terminal.table(("KEY", "COLUMN", "RECORDED", "NOW"), rows, whole=("KEY",))


def changes_table(
    terminal: Terminal,
    changes: Iterable[Mapping[str, Any]],
    *,
    own: str | None = None,
    heading: str | None = None,
) -> None:
    """Show records with what they were and what they became, column by column; a heading only if there are any.

    Rows of other tables than the execution's ``own`` are shown with theirs.
    """
    rows = [
        row
        for one in changes
        for row in change_rows(terminal, _changed(one, own), one["before"], one["after"])
    ]
    if heading is not None:
        if not rows:
            return
        terminal.say(heading, "bold")
    terminal.table(("KEY", "COLUMN", "BEFORE", "AFTER"), rows, whole=("KEY",))


def change_rows(terminal: Terminal, first: str, before: Image, after: Image) -> Iterator[ChangeRow]:
    """Give one row for each column that differs; one for a row that came or went as a whole."""
    if before is None or after is None:
        gone = Text("(no row)", QUIET)
        image = _whole(terminal, before or after)
        yield (
            first,
            Text("(row)", QUIET),
            gone if before is None else image,
            (gone if after is None else image),
        )
        return
    for name in before:
        if before[name] != after.get(name):
            yield first, name, value(terminal, before[name]), value(terminal, after.get(name))
            first = ""


def sample_table(
    terminal: Terminal,
    sample: Sequence[Mapping[str, str | None]],
    first: Iterable[str],
) -> None:
    """Show sample records; on a terminal only the columns that fit, those in ``first`` before the others."""
    if not sample:
        return
    names = list(sample[0])
    wanted = [name for name in dict.fromkeys([*names[:1], *first, *names]) if name in names]

    def short(text: str | None) -> Text:
        return value(terminal, text, VALUE_LENGTH)

    shown: list[str] = []
    left = terminal.out.width
    for name in wanted:
        left -= 2 + max(cell_len(str(short(row[name]))) for row in ({name: name}, *sample))
        if left < 0 and shown:
            break
        shown.append(name)
    terminal.table(shown, ([short(row[name]) for name in shown] for row in sample), whole=shown)
    if hidden := len(names) - len(shown):
        terminal.say(f"and {hidden} more columns; --json shows all", QUIET)


def value(terminal: Terminal, text: str | None, length: int = LONG_TEXT) -> Text:
    """Show a value, cut where it is long and somebody looks on; null in grey."""
    return cell(None if text is None else Text(terminal.cut(text, length)))


def _row_text(one: Outcome | Conflict) -> str:
    """Show a record's key; that of a row which had gone along with a record, with its table."""
    return _key_of(one.table, one.key)


def _changed(one: Mapping[str, Any], own: str | None) -> str:
    table = one.get("table")
    return _key_of(None if table == own else table, one["key"])


def _key_of(table: str | None, key: Sequence[str]) -> str:
    return key_text(key) if table is None else f"{table} {key_text(key)}"


def _conflict(terminal: Terminal, one: Outcome | Conflict) -> Iterator[ChangeRow]:
    key = _row_text(one)
    if one.reason == "gone" or one.current is None:
        yield (
            key,
            Text("(row)", QUIET),
            _whole(terminal, one.recorded),
            Text("(its row is gone)", QUIET),
        )
    elif one.reason == "taken":
        yield (
            key,
            Text("(row)", QUIET),
            _whole(terminal, one.recorded),
            _whole(terminal, one.current),
        )
    else:
        yield from change_rows(terminal, key, one.recorded, one.current)


def _whole(terminal: Terminal, image: Image) -> Text:
    said = ", ".join(
        f"{name} = {'null' if text is None else text}" for name, text in (image or {}).items()
    )
    return Text(terminal.cut(said, LONG_TEXT))
