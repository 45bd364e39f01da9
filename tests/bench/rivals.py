"""What the ledger's bulk changes are measured against: a bare UPDATE, an audit trigger, the predecessor."""

from dataclasses import dataclass

from .site import Site, timed

PREDECESSOR_SAMPLE = 3_000
"""Records are enough to tell its speed, and it gets slower with more of them in its one transaction."""


def bare(site: Site) -> float:
    """Change all rows with one statement; give the seconds."""
    return timed(lambda: site.run("bare"))


@dataclass(frozen=True, slots=True)
class Audited:
    """What the trigger took."""

    seconds: float
    size: float


def audited(site: Site) -> Audited:
    """Change all rows with one statement under a row-level trigger that keeps both rows as jsonb."""
    site.run("create_audit")
    try:
        seconds = timed(lambda: site.run("bare"))
        return Audited(seconds, site.number("audit_bytes"))
    finally:
        site.run("drop_audit")


def predecessor(site: Site) -> float:
    """Work as the predecessor does, on a sample; give the seconds a record.

    All records are read first; then for each one a snapshot is inserted, the record updated and the counter
    updated; all of it in one transaction.
    """
    site.run("create_predecessor")
    sample = min(PREDECESSOR_SAMPLE, site.rows)

    def work() -> None:
        with site.connection.transaction():
            for row in site.run("predecessor_read", records=sample):
                site.run("predecessor_snapshot", id=row["id"], record=row["record"])
                site.run("predecessor_update", id=row["id"])
                site.run("predecessor_count")

    return timed(work) / sample
