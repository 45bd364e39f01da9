"""The store with all of its projections: which run inline, in the writer's transaction, and which follow."""

from action_ledger.projections.audit import Audit
from action_ledger.projections.chain_queue import ChainQueue
from action_ledger.projections.chains import Chains
from action_ledger.projections.exports import Exports
from action_ledger.projections.hook_deliveries import HookDeliveries
from action_ledger.projections.locks import Locks
from action_ledger.projections.progress import Progress
from action_ledger.projections.recorder import Connections, Datastore
from action_ledger.projections.schedule_queue import ScheduleQueue
from action_ledger.projections.schedules import Schedules
from action_ledger.projections.store import Store
from action_ledger.projections.work_queue import WorkQueue

from .settings import Settings


def wired_store(connections: Connections, settings: Settings) -> Store:
    """Make the store over connections that somebody lends."""
    return Store(
        Datastore(connections, settings.db_schema),
        inline=(
            *(WorkQueue(), ScheduleQueue(), ChainQueue()),
            *(Progress(), Schedules(), Chains(), Locks(), Exports()),
        ),
        followed=(Audit(), HookDeliveries()),
        search_path=settings.search_path,
        lock_timeout_ms=settings.append_lock_timeout_ms,
    )
