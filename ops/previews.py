"""Previews as the ledger's settings have them, with the database's errors in the ledger's words."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import replace

import psycopg
from uuid_utils.compat import uuid7

from action_ledger.domain.actions import Actions
from action_ledger.domain.commands import RequestExecution, RequestUndo
from action_ledger.domain.selection import KeyValue
from action_ledger.projections.store import Store
from action_ledger.workers.preview import make_preview
from action_ledger.workers.previewed import Preview, PreviewLimits
from action_ledger.workers.undo_preview import preview_undo
from action_ledger.workers.undo_previewed import UndoPreview

from .settings import Settings
from .translation import translated


def look_first(
    store: Store,
    actions: Actions,
    settings: Settings,
    command: RequestExecution,
    *,
    keys: Iterable[KeyValue] | None,
    sample: int,
    records: int | None,
) -> Preview:
    """Make a preview, under an id of its own. Raises what the command would raise, and PreviewBlocked."""
    with _limits(settings, command, records) as limits:
        return make_preview(
            store, actions, command, uuid7(), keys=keys, sample=sample, limits=limits
        )


def look_before_undo(
    store: Store,
    settings: Settings,
    command: RequestUndo,
    *,
    sample: int,
    records: int | None,
) -> UndoPreview:
    """Make a preview of an undo. Raises what the undo would raise, and PreviewBlocked."""
    with _limits(settings, command, records) as limits:
        return preview_undo(store, command, uuid7, sample=sample, limits=limits)


@contextmanager
def _limits(
    settings: Settings, command: RequestExecution | RequestUndo, records: int | None
) -> Generator[PreviewLimits]:
    """Say how far to go, if the command's context is one that the settings allow."""
    settings.contexts.require(command.context)
    limits = settings.preview_limits
    if records is not None:
        limits = replace(limits, records=records)
    try:
        yield limits
    except psycopg.Error as error:
        raise translated(error, seconds=limits.statement_seconds) from error
