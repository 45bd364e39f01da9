"""The options that several commands have, declared once."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .cli_state import state_of


def _remember_json(context: typer.Context, value: bool) -> bool:
    state_of(context).as_json = value
    return value


Json = Annotated[
    bool,
    typer.Option("--json", help="Give JSON, errors too.", callback=_remember_json),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Confirm = Annotated[
    str | None,
    typer.Option("--confirm", metavar="TOKEN", help="The token of a preview of the same."),
]


def _asker(context: typer.Context, subject: str | None) -> Any:  # noqa: ANN401 - an actor, where there is one
    return state_of(context).asker(subject) if subject and subject.strip() else None


By = Annotated[
    Any,
    typer.Option(
        "--by",
        metavar="ACTOR",
        envvar="ACTION_LEDGER_ACTOR",
        parser=str,
        callback=_asker,
        help="Who asks for this, such as user:42. Needed. --on-behalf-of and --issuer go with it.",
    ),
]
Issuer = Annotated[
    str | None,
    typer.Option(
        "--issuer",
        metavar="ISSUER",
        envvar="ACTION_LEDGER_ISSUER",
        help="Who knows the actor by that name, such as the address of an identity provider.",
    ),
]
OnBehalfOf = Annotated[
    str | None,
    typer.Option(
        "--on-behalf-of",
        metavar="SUBJECT",
        envvar="ACTION_LEDGER_ON_BEHALF_OF",
        help="For whom the actor of --by acts, where that is somebody else.",
    ),
]
Once = Annotated[
    str | None,
    typer.Option(
        "--once",
        metavar="KEY",
        help="A key of yours: what is sent under it again is the command of before.",
    ),
]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for the audit.")]
Workers = Annotated[
    int,
    typer.Option("--workers", min=1, max=64, help="How many work on it at once, in this process."),
]
Submit = Annotated[bool, typer.Option("--submit", help="Leave it to the workers.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many are listed.")]

# which records, and what is done to them

Table = Annotated[str, typer.Argument(metavar="TABLE", help="A table, as schema.table or table.")]
Action = Annotated[
    str,
    typer.Argument(
        metavar="ACTION", help="update, archive, delete, restore, export, or one of your own."
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        "-w",
        metavar="CONDITION",
        help='Only records for which this is true: "country = FR". Again for each further condition.',
    ),
]
WhereJson = Annotated[
    str | None,
    typer.Option(
        "--where-json",
        metavar="FILE|-|JSON",
        help="A predicate as JSON, for or, not and the like.",
    ),
]
Keys = Annotated[
    str | None,
    typer.Option("--keys", metavar="KEY,...", help="The records with these keys."),
]
KeysFile = Annotated[
    str | None,
    typer.Option(
        "--keys-file",
        metavar="FILE|-",
        help="Keys from a file, one a line; a key of several columns is a JSON array.",
    ),
]
All = Annotated[bool, typer.Option("--all", help="Every record of the table.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="COLUMN=VALUE", help="update: a column and its new value."),
]
SetNull = Annotated[
    list[str] | None,
    typer.Option("--set-null", metavar="COLUMN", help="update: a column to be emptied."),
]
ParamsJson = Annotated[
    str | None,
    typer.Option(
        "--params-json",
        metavar="FILE|-|JSON",
        help="The action's parameters as JSON; expressions too.",
    ),
]
Param = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="NAME=VALUE",
        help="A parameter of an action of your own. Again for each further one.",
    ),
]
Hard = Annotated[
    bool,
    typer.Option("--hard", help="delete: take the rows out, whatever the table has."),
]
Mark = Annotated[
    str | None,
    typer.Option("--mark", metavar="deleted|archived", help="restore: which mark to take off."),
]
To = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="PATH",
        help="export: the file; a relative path is within ACTION_LEDGER_EXPORT_DIR.",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="csv|xlsx|json|ndjson|xml|pdf|parquet",
        help="export: what the file is; else its suffix says it.",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option("--columns", metavar="COLUMN,...", help="export: these columns, in this order."),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="export: replace a file that is there.")
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", metavar="RECORDS", help="Records of one batch."),
]
Adaptive = Annotated[
    float | None,
    typer.Option(
        "--adaptive",
        metavar="SECONDS",
        help="Let the size of batches follow how long they take: about so long each.",
    ),
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", metavar="RECORDS", help="So many records a second at most, in all."),
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        "--concurrency", metavar="BATCHES", help="So many batches at work at most, in all."
    ),
]

# how it is done

Streaming = Annotated[
    bool,
    typer.Option("--streaming", help="Plan while the first batches are at work; for very many."),
]
Frozen = Annotated[
    bool,
    typer.Option("--frozen", help="Change a record even if it no longer matches by then."),
]
UndoDays = Annotated[
    float | None,
    typer.Option("--undo-days", metavar="DAYS", help="How long it can be undone, 90 at most."),
]
Irreversible = Annotated[bool, typer.Option("--irreversible", help="Give up the undo.")]
Queue = Annotated[str | None, typer.Option("--queue", help="The queue that workers find it in.")]
Priority = Annotated[
    int, typer.Option("--priority", help="From -100 to 100; the highest goes first.")
]

# when it is done

At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="TIME",
        help='Once, at this time: "2027-03-01 02:00", local to --timezone unless it has an offset.',
    ),
]
Cron = Annotated[
    str | None,
    typer.Option(
        "--cron",
        metavar="EXPRESSION",
        help='Again and again: "30 2 * * MON-FRI" (minute, hour, day, month, weekday).',
    ),
]
Timezone = Annotated[
    str | None,
    typer.Option("--timezone", metavar="ZONE", help="Whose clocks: Europe/Paris, UTC."),
]

# which execution

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The id, its beginning or its end if no other has it, or: last.",
    ),
]
OnConflict = Annotated[
    str,
    typer.Option(
        "--on-conflict",
        metavar="skip|merge|fail|force",
        help="What to do with records that somebody changed since.",
    ),
]
Batches = Annotated[
    list[int] | None,
    typer.Option("--batch", metavar="NUMBER", help="Only this batch. Again for each further one."),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where the embedded PostgreSQL keeps its data."),
]
App = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="MODULE:ATTRIBUTE",
        envvar="ACTION_LEDGER_APP",
        help="Your own ledger, with its actions, or a function that opens it: shop.ledger:ledger.",
    ),
]
OnFailure = Annotated[
    str,
    typer.Option(
        "--on-failure",
        metavar="continue|stop|rollback",
        help="What is done when more records fail than are allowed.",
    ),
]
OnLocked = Annotated[
    str | None,
    typer.Option(
        "--on-locked",
        metavar="fail|skip|wait",
        help="What is done about records that others have: fail, unless said.",
    ),
]
MaxFailures = Annotated[
    int | None,
    typer.Option("--max-failures", metavar="N", help="So many records may fail before."),
]
MaxFailureRatio = Annotated[
    float | None,
    typer.Option("--max-failure-ratio", metavar="R", help="That share may, from 0 to 1."),
]
