"""Second looks, under a lock, that are taken away."""

from .mutant import INTEGRATION, Mutant

SECOND_LOOKS = [
    Mutant(
        "second look",
        guard,
        file,
        was,
        becomes,
        f"{INTEGRATION}/test_append_lock.py {INTEGRATION}/test_steering.py",
    )
    for guard, file, was, becomes in [
        (
            "a batch asks under the append lock whether its execution is open",
            "workers/work.py",
            "            require_open(transaction, unit.execution_id)\n",
            "            pass\n",
        ),
        (
            "a plan asks whether its execution is under way",
            "workers/plan_unit.py",
            "current = require_running(transaction, execution_id)",
            "current = current_execution(transaction, execution_id)",
        ),
        (
            "who leases a batch asks whether its execution is under way",
            "workers/effect_lease.py",
            "            require_running(transaction, unit.execution_id)\n",
            "            pass\n",
        ),
        (
            "who fails a unit asks whether another has ended it",
            "workers/fail.py",
            "    if not holds(transaction, unit):\n        return\n",
            "",
        ),
        (
            "who fails a batch asks whether its execution is open",
            "workers/fail.py",
            "    if unit.undo_id is None:\n        require_open(transaction, unit.execution_id)\n",
            "",
        ),
        (
            "a redo waits for the end of its undo",
            "workers/undo_request.py",
            "        self._require_end_of_undo()\n        window",
            "        window",
        ),
    ]
] + [
    Mutant(
        "second look",
        "a record is changed only if it still matches",
        "workers/writer.sql",
        "UPDATE {table} t SET {assignments} {source} WHERE {located} AND {match} RETURNING",
        "UPDATE {table} t SET {assignments} {source} WHERE {located} AND ({match} OR true) RETURNING",
        f"{INTEGRATION}/test_conflicts.py {INTEGRATION}/test_meetings.py",
    ),
    Mutant(
        "second look",
        "the locks on a table are read after its turn was taken",
        "workers/locks.py",
        '    transaction.look_again()\n    statement = _statement(transaction, claim, "contenders")',
        '    return []\n    statement = _statement(transaction, claim, "contenders")',
        f"{INTEGRATION}/test_locks.py",
    ),
    Mutant(
        "second look",
        "a retry that has waited for another asks whether that one has done it",
        "workers/plan_unit.py",
        "        require_first(transaction, request.selection, but=execution_id)\n",
        "        pass\n",
        f"{INTEGRATION}/test_retried.py",
    ),
    Mutant(
        "second look",
        "a retry that is done at once asks again once it has its rows",
        "workers/request.py",
        "        require_first(transaction, self._command.selection, but=planning.id)\n",
        "",
        f"{INTEGRATION}/test_retried.py",
    ),
]
