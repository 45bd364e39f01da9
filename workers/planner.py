"""The planner: from a selection to batches. Gated in one snapshot, or streaming page by page."""

import hashlib
from collections.abc import Iterable, Sequence
from uuid import UUID

from action_ledger.domain import batch, execution
from action_ledger.domain.errors import InvalidParameters, SelectionMissing, SelectionTwice
from action_ledger.domain.event import Event, Metadata
from action_ledger.domain.execution import Execution
from action_ledger.domain.pace import Adaptive
from action_ledger.domain.selection import Keys, KeyValue, Selection, Unfinished

from .change import Change
from .cutter import Cut, Cutter
from .keys import key_texts

PAGES_AT_ONCE = 4
"""Batches that a streaming planner cuts in one transaction, before it lets go and others see them."""


MOVED_AT_ONCE = 1_000_000
"""The batch size of a change of keys: it must be one batch, or a record could be met again under its new key."""


def whole_size(select: Change, batch_size: int, adaptive: Adaptive | None) -> int:
    """Give how many records a gated plan puts into a batch.

    Where the size follows the pace it is the maximum: such batches are split when their turn comes.
    """
    if select.moves_keys:
        return MOVED_AT_ONCE
    return batch_size if adaptive is None else adaptive.maximum


def cut_selection(
    cutter: Cutter, select: Change, selection: Selection, streamed: Iterable[KeyValue] | None
) -> list[Cut]:
    """Cut a whole selection at once. ``streamed`` are the keys that travel beside the command."""
    cuts = _cut(cutter, select, selection, streamed)
    total = sum(cut.records for cut in cuts)
    if select.merges_keys and total > 1:
        key = ", ".join(column.name for column in select.table.key)
        detail = f"one constant cannot be the key ({key}) of {total:,} records; choose one, or set another column"
        raise InvalidParameters(action="update", detail=detail)
    if select.moves_keys and len(cuts) > 1:
        detail = f"keys of at most {MOVED_AT_ONCE:,} records are changed at once, and these are {total:,}"
        raise InvalidParameters(action="update", detail=detail)
    return cuts


def _cut(
    cutter: Cutter, select: Change, selection: Selection, streamed: Iterable[KeyValue] | None
) -> list[Cut]:
    waiting = isinstance(selection, Keys) and selection.keys is None
    if waiting and streamed is None:
        raise SelectionMissing  # an empty list of keys is one; none at all was forgotten
    if streamed is not None and not waiting:
        raise SelectionTwice(first=selection.kind, second="keys")
    if isinstance(selection, Unfinished):
        return cutter.unfinished(selection)
    if not isinstance(selection, Keys):
        return cutter.matching(select)
    rows = (
        key_texts(select.table, key)
        for key in (streamed if selection.keys is None else selection.keys) or ()
    )
    if selection.keys is None:
        return cutter.streamed(rows)
    columns = list(zip(*rows, strict=True))
    return cutter.listed(columns) if columns else []


def batch_events(
    cuts: Iterable[Cut], *, execution_id: UUID, table: str, metadata: Metadata
) -> list[Event]:
    """Say that batches were planned."""
    return [
        batch.Batch.new(cut.owner).trigger(
            batch.Planned,
            metadata,
            execution_id=execution_id,
            number=cut.number,
            table=table,
            records=cut.records,
            keys_digest=cut.digest,
            split_from=None,
        )
        for cut in cuts
    ]


def planned_event(
    current: Execution, key_sets: Sequence[tuple[int, str]], metadata: Metadata
) -> Event:
    """Say that planning ended. ``key_sets`` are (records, digest) of all batches, in their order."""
    digest = hashlib.sha256("".join(digest for _, digest in key_sets).encode()).hexdigest()
    return current.trigger(
        execution.Planned,
        metadata,
        batches=len(key_sets),
        records=sum(records for records, _ in key_sets),
        plan_digest=digest,
    )
