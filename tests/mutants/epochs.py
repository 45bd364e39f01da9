"""Checks of a lease's epoch that are taken away."""

from .mutant import INTEGRATION, Mutant

EPOCHS = [
    Mutant(
        "epoch",
        "a lease is renewed in its own epoch",
        "workers/effects.sql",
        "WHERE w.unit_id = %(unit_id)s AND w.leased_by = %(worker)s AND w.leased_epoch = %(epoch)s\nRETURNING",
        "WHERE w.unit_id = %(unit_id)s AND w.leased_by = %(worker)s\nRETURNING",
        f"{INTEGRATION}/test_leases.py",
    ),
    Mutant(
        "epoch",
        "a lease is given back in its own epoch",
        "workers/effects.sql",
        "\nWHERE unit_id = %(unit_id)s AND leased_by = %(worker)s AND leased_epoch = %(epoch)s",
        "\nWHERE unit_id = %(unit_id)s AND leased_by = %(worker)s",
        f"{INTEGRATION}/test_leases.py",
    ),
    Mutant(
        "epoch",
        "a batch is ended in its own epoch",
        "workers/effects.sql",
        "WHERE w.unit_id = %(unit_id)s AND w.leased_by = %(worker)s AND w.leased_epoch = %(epoch)s\nFOR UPDATE\n\n-- name: standing",
        "WHERE w.unit_id = %(unit_id)s AND w.leased_by = %(worker)s\nFOR UPDATE\n\n-- name: standing",
        f"{INTEGRATION}/test_leases.py",
    ),
    Mutant(
        "epoch",
        "results are kept in their own epoch",
        "workers/effects.sql",
        "    WHERE w.unit_id = %(unit_id)s AND w.leased_by = %(worker)s AND w.leased_epoch = %(epoch)s\n    FOR UPDATE",
        "    WHERE w.unit_id = %(unit_id)s AND w.leased_by = %(worker)s\n    FOR UPDATE",
        f"{INTEGRATION}/test_leases.py",
    ),
    Mutant(
        "epoch",
        "who keeps results holds the lease meanwhile",
        "workers/effects.sql",
        "AND w.leased_epoch = %(epoch)s\n    FOR UPDATE\n",
        "AND w.leased_epoch = %(epoch)s\n",
        f"{INTEGRATION}/test_leases.py",
    ),
    Mutant(
        "epoch",
        "a lease that runs is not taken",
        "workers/queue.sql",
        "            AND (w.leased_until IS NULL OR w.leased_until < clock_timestamp())\n            -- What was",
        "            -- What was",
        f"{INTEGRATION}/test_leases.py {INTEGRATION}/test_effects.py",
    ),
]
