"""Every name the ledger gives to telemetry: spans, metrics, attributes, and their fixed values.

Names that OpenTelemetry defines follow its semantic conventions 1.44. Names of our own begin with
``action_ledger.``. Nothing here may hold record values, keys or parameters.
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "action_ledger"
"""The instrumentation scope, and the value of ``messaging.system``."""

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the conventions that the names below follow."""

# ---- spans: the first word of the name, and the value of messaging.operation.name

SEND: Final = "send"
"""A command was accepted: ``send {action}``."""

PLAN: Final = "plan"
"""A selection is cut into batches: ``plan {action}``."""

PROCESS: Final = "process"
"""One attempt at one batch: ``process {action}``."""

UNDO: Final = "undo"
"""An undo was accepted: ``undo {action}``."""

PROJECT: Final = "project"
"""A follower brings its view up to date by one block of events: ``project {projection}``."""

# ---- attributes of commands and batches

MESSAGING_SYSTEM: Final = "messaging.system"
"""Always the ledger itself."""

MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
"""One of the span words above."""

MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
"""What the operation is in OpenTelemetry's terms: ``send`` or ``process``."""

MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
"""The queue."""

MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
"""The execution's id, or the undo's: the same on every span that serves it."""

MESSAGING_CONVERSATION_ID: Final = "messaging.message.conversation_id"
"""The correlation id that ties several commands together."""

MESSAGING_BATCH_MESSAGE_COUNT: Final = "messaging.batch.message_count"
"""How many records the batch holds."""

CODE_FUNCTION_NAME: Final = "code.function.name"
"""The full dotted name of the function that applies the action."""

PLAN_KEYS: Final = "action_ledger.plan.keys"
"""How many records were planned."""

PLAN_BATCHES: Final = "action_ledger.plan.batches"
"""Into how many batches they were cut."""

BATCH_NUMBER: Final = "action_ledger.batch.number"
"""Which batch of its execution."""

ATTEMPT: Final = "action_ledger.attempt"
"""Which attempt at the batch, from 1."""

UNDO_OF: Final = "action_ledger.undo.of"
"""The id of the execution, or undo, that is taken back."""

UNDO_POLICY: Final = "action_ledger.undo.policy"
"""What happens to records that somebody changed since: ``skip``, ``fail`` or ``force``."""

POSITION_FROM: Final = "action_ledger.position.from"
"""The position of the first event in a follower's block."""

POSITION_TO: Final = "action_ledger.position.to"
"""The position of the last event in a follower's block."""

# ---- attributes of statements

DB_SYSTEM_NAME: Final = "db.system.name"
"""Always ``postgresql``."""

POSTGRESQL: Final = "postgresql"
"""The value of ``db.system.name``."""

DB_NAMESPACE: Final = "db.namespace"
"""The database, or ``database|schema``, as it was when the connection was made."""

DB_OPERATION_NAME: Final = "db.operation.name"
"""The SQL command: ``UPDATE``, ``INSERT``, ``COMMIT``."""

DB_COLLECTION_NAME: Final = "db.collection.name"
"""The table that the statement is about."""

DB_OPERATION_BATCH_SIZE: Final = "db.operation.batch.size"
"""How many statements were sent as one; one statement over many rows is not such a batch."""

DB_RESPONSE_STATUS_CODE: Final = "db.response.status_code"
"""The SQLSTATE of a statement that failed, whether or not it is tried again."""

SERVER_ADDRESS: Final = "server.address"
"""The server's host name, address, or socket directory."""

SERVER_PORT: Final = "server.port"
"""The server's port."""

# ---- failures

ERROR_TYPE: Final = "error.type"
"""Why an operation failed for good: a SQLSTATE, or the name of the exception's class."""

# ---- metrics

PROCESS_DURATION: Final = "messaging.process.duration"
"""Seconds that one attempt took, at planning, a batch or a compensation; ``error.type`` if it was the last."""

BATCH_SIZE: Final = "action_ledger.batch.size"
"""Records of a batch, or of a compensation, that was done."""

RECORDS: Final = "action_ledger.records"
"""Records that came to an end in a batch or a compensation, by outcome."""

RETRIES: Final = "action_ledger.retries"
"""Units that were put off, or batches that were split, after a fault that may pass."""

SPLITS: Final = "action_ledger.splits"
"""Batches that were split, by reason."""

LEASE_EXPIRED: Final = "action_ledger.lease.expired"
"""Leases that had run out when their unit was taken up by another worker."""

FENCED_WRITES: Final = "action_ledger.fenced.writes"
"""Answers that a worker wanted to keep under a lease that it had lost."""

EXECUTION_DURATION: Final = "action_ledger.execution.duration"
"""Seconds from the request of an execution to its end."""

# ---- labels of metrics: each has few values, and none is an id or comes from a record

ACTION: Final = "action_ledger.action"
"""The name of the action."""

UNIT_KIND: Final = "action_ledger.unit.kind"
"""``batch`` for what an execution does, ``compensation`` for what an undo takes back."""

OUTCOME: Final = "action_ledger.outcome"
"""What came of a record: ``applied``, ``failed`` or ``skipped``."""

SPLIT_REASON: Final = "action_ledger.split.reason"
"""Why a batch was split: ``pace``, ``rate``, ``timed_out``, ``deadlock`` or ``too_large``."""

STATUS: Final = "action_ledger.execution.status"
"""The status in which an execution ended."""
