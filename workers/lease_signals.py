"""What is to be noticed about leases, in one place: each is logged and counted."""

import logging

from action_ledger.projections import metrics
from action_ledger.projections.store import Transaction

from .claim import Unit

log = logging.getLogger(__name__)


def lease_expired(transaction: Transaction, unit: Unit) -> None:
    """Say that a lease had run out when its unit was taken up: action_ledger.lease.expired."""
    log.warning("unit %s: the lease of %s has run out", unit.unit_id, unit.leased_by)
    transaction.after_commit(metrics.lease_expired)


def writes_fenced(unit: Unit, *, epoch: int, writes: int) -> None:
    """Say that what an older epoch wanted to write was not written: action_ledger.fenced.writes."""
    log.warning("unit %s: %d writes of epoch %d were fenced off", unit.unit_id, writes, epoch)
    metrics.writes_fenced(writes)
