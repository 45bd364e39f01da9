"""What a worker does with a unit of planning: cuts, decides whose the records are, appends and settles."""

from action_ledger.domain.actions import ExportAction
from action_ledger.domain.event import Event
from action_ledger.domain.pace import Adaptive
from action_ledger.domain.record_lock import RecordLockStatus, on_locked_by
from action_ledger.domain.selection import Keys
from action_ledger.projections.store import Transaction

from .claim import Unit
from .close import require_running
from .compile import Compiled, Request, check_key
from .cutter import Cut, Cutter
from .export_plan import plan_export
from .limits import check_records
from .locks import Claim, Decision, claim_of, decide
from .pace import sizing_of
from .planner import PAGES_AT_ONCE, batch_events, cut_selection, planned_event, whole_size
from .retried import require_first
from .settle import settle
from .steps import reached


def plan_unit(
    transaction: Transaction,
    unit: Unit,
    compiled: Compiled,
    request: Request,
    *,
    export: ExportAction | None,
    sizes: Adaptive,
    worker: str,
) -> list[int]:
    """Plan the whole, or the next pages; give the number of records of each batch that was cut.

    Where others have some of the records, it may come to wait for them, and plan nothing now. An ``export`` only reads,
    so it asks nobody.
    """
    table, execution_id, metadata = compiled.change.table, unit.execution_id, unit.metadata
    gated = unit.planning == "gated"
    size = (
        whole_size(compiled.select, unit.batch_size, request.adaptive)
        if gated
        else sizing_of(unit, asked=request.adaptive, default=sizes).page
    )
    cutter = Cutter(transaction, table, execution_id, size)
    number, last = (0, None) if gated else cutter.last()
    claim = claim_of(transaction, table, unit.table_name, execution_id, fresh=False, after=number)
    if gated:
        cuts = _cut_whole(cutter, compiled, request, claim)
        check_records(cuts, action=unit.action, most=request.max_records)
    else:
        cuts = cutter.pages(compiled.select, after=last, number=number, count=PAGES_AT_ONCE)
    ended = gated or len(cuts) < PAGES_AT_ONCE
    reached("plan.cut")
    if export:
        plan_export(transaction, export, table, execution_id, cuts)
    decision = (
        Decision(cuts, [], [])
        if export
        else decide(
            *(transaction, claim, cutter, cuts),
            policy=request.on_locked or on_locked_by(unit.planning),
            worker=worker,
            metadata=metadata,
        )
    )
    if not decision.waits:
        require_first(transaction, request.selection, but=execution_id)
    key_sets = cutter.all() if ended and not decision.waits else []
    current = require_running(transaction, execution_id)
    planned = batch_events(
        decision.cuts, execution_id=execution_id, table=unit.table_name, metadata=metadata
    )
    events: list[Event] = [*decision.before, *planned, *decision.after]
    if ended and not decision.waits:
        events.append(planned_event(current, key_sets, metadata))
    reached("plan.before_append")
    if events:
        transaction.append(*events)
    reached("plan.appended")
    settle(transaction, execution_id=execution_id, undo_id=None, metadata=metadata)
    return [cut.records for cut in decision.cuts]


def _cut_whole(cutter: Cutter, compiled: Compiled, request: Request, claim: Claim) -> list[Cut]:
    """Cut all of it, as it is now. Keys that were given are nowhere else than in what was cut of them."""
    if isinstance(request.selection, Keys) or request.kept:
        check_key(claim.table, request)
        return cutter.taken()
    if claim.lock.status is RecordLockStatus.WAITING:
        cutter.forget()
    return cut_selection(cutter, compiled.select, request.selection, None)
