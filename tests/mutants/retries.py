"""Retries that are taken away."""

from .mutant import CRASH, INTEGRATION, UNIT, Mutant

RETRIES = [
    Mutant(
        "retry",
        f"{what} is tried again",
        "workers/faults.py",
        was,
        becomes,
        f"{UNIT}/test_faults.py",
    )
    for what, was, becomes in [
        (
            "a serialization failure",
            'frozenset({"40001", "40P01", "55P03", "55006", "25P03"',
            'frozenset({"40P01", "55P03", "55006", "25P03"',
        ),
        (
            "a deadlock",
            'frozenset({"40001", "40P01", "55P03", "55006", "25P03"',
            'frozenset({"40001", "55P03", "55006", "25P03"',
        ),
        (
            "a wait for a lock that was too long",
            'frozenset({"40001", "40P01", "55P03", "55006", "25P03"',
            'frozenset({"40001", "40P01", "55006", "25P03"',
        ),
        (
            "a session that fell silent",
            '"55006", "25P03", "25P04", "25006"})',
            '"55006", "25P04", "25006"})',
        ),
        (
            "a statement that met its time limit for all of a transaction",
            '"55006", "25P03", "25P04", "25006"})',
            '"55006", "25P03", "25006"})',
        ),
        (
            "a server that takes no writes",
            '"55006", "25P03", "25P04", "25006"})',
            '"55006", "25P03", "25P04"})',
        ),
        (
            "a connection's loss",
            '_PASSING_CLASSES = ("08", "53", "57", "58")',
            '_PASSING_CLASSES = ("53", "57", "58")',
        ),
        (
            "a lack of room",
            '_PASSING_CLASSES = ("08", "53", "57", "58")',
            '_PASSING_CLASSES = ("08", "57", "58")',
        ),
        (
            "a server's stop",
            '_PASSING_CLASSES = ("08", "53", "57", "58")',
            '_PASSING_CLASSES = ("08", "53", "58")',
        ),
    ]
] + [
    Mutant(
        "retry",
        "a batch that deadlocked is put off and not failed",
        "workers/loop.py",
        "if isinstance(error, Error) and may_try_again(",
        "if False and may_try_again(",
        f"{INTEGRATION}/test_retry.py {INTEGRATION}/test_claim.py {CRASH}/test_contention.py",
    ),
    Mutant(
        "retry",
        "a command whose answer was lost is looked for",
        "ops/intake.py",
        "            except psycopg.Error as error:\n                if self._is_in(command):\n                    return True\n",
        "            except psycopg.Error as error:\n",
        f"{CRASH}/test_commits.py",
    ),
    Mutant(
        "retry",
        "a thread of a service that failed is started again",
        "ops/guard.py",
        "RESTARTS = 3",
        "RESTARTS = 0",
        f"{INTEGRATION}/test_service.py",
    ),
]
