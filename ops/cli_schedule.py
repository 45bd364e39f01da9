"""`action-ledger schedule` and `schedules`: leave a run for later, once or again and again, and steer it."""

from typing import Annotated

import typer

from . import cli_context as whose
from . import cli_options as option
from .cli_state import state_of

Schedule = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The schedule's id, its beginning or its end if no other has it, or: last.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command and the group of commands."""
    app.command("schedule")(schedule)
    group = typer.Typer(
        help="Schedules: list, show, upcoming, pause, resume, reschedule, cancel, run-now.",
        no_args_is_help=True,
    )
    for name, command in (
        ("list", list_),
        ("show", show),
        ("upcoming", upcoming),
        ("pause", pause),
        ("resume", resume),
        ("reschedule", reschedule),
        ("cancel", cancel),
        ("run-now", run_now),
    ):
        group.command(name)(command)
    app.add_typer(group, name="schedules")


def schedule(
    context: typer.Context,
    table: option.Table,
    action: option.Action,
    at: option.At = None,
    cron: option.Cron = None,
    timezone: option.Timezone = None,
    where: option.Where = None,
    where_json: option.WhereJson = None,
    keys: option.Keys = None,
    keys_file: option.KeysFile = None,
    everything: option.All = False,
    set_: option.Set = None,
    set_null: option.SetNull = None,
    param: option.Param = None,
    params_json: option.ParamsJson = None,
    hard: option.Hard = False,
    mark: option.Mark = None,
    by: option.By = None,
    reason: option.Reason = None,
    catch_up: Annotated[
        str,
        typer.Option(
            "--catch-up",
            metavar="skip|last|all",
            help="What becomes of runs that were missed, since no worker was up.",
        ),
    ] = "last",
    selection: Annotated[
        str,
        typer.Option(
            "--selection",
            metavar="evaluated|frozen",
            help="Whether the records are chosen at each run, or now, once for all.",
        ),
    ] = "evaluated",
    batch_size: option.BatchSize = None,
    adaptive: option.Adaptive = None,
    rate: option.Rate = None,
    concurrency: option.Concurrency = None,
    streaming: option.Streaming = False,
    frozen: option.Frozen = False,
    on_failure: option.OnFailure = "continue",
    max_failures: option.MaxFailures = None,
    max_failure_ratio: option.MaxFailureRatio = None,
    on_locked: option.OnLocked = None,
    settings: whose.Settings = None,
    role: whose.Role = None,
    undo_days: option.UndoDays = None,
    irreversible: option.Irreversible = False,
    queue: option.Queue = None,
    priority: option.Priority = 0,
    once: option.Once = None,
    yes: option.Yes = False,
    _json: option.Json = False,
) -> None:
    """Leave a run for later: once, or again and again. Workers do it.

    \b
    action-ledger schedule places archive --where "population < 1000" \\
        --cron "30 2 * * *" --timezone Europe/Paris --by user:42
    action-ledger schedule places update --all --set status=open \\
        --at "2027-03-01 09:00" --timezone Europe/Paris --by user:42

    What would be archived or deleted now is counted first, and has to be confirmed.
    """
    from .cli_scheduling import schedule_wanted
    from .cli_wanted import Chosen, Told, Wanted

    wanted = Wanted(
        table=table,
        action=action,
        chosen=Chosen(
            where=tuple(where or ()),
            where_json=where_json,
            keys=keys,
            keys_file=keys_file,
            everything=everything,
        ),
        told=Told(
            set_=tuple(set_ or ()),
            set_null=tuple(set_null or ()),
            params=tuple(param or ()),
            params_json=params_json,
            hard=hard,
            mark=mark,
            reason=reason,
        ),
        by=by,
        batch_size=batch_size,
        adaptive=adaptive,
        rate=rate,
        concurrency=concurrency,
        queue=queue,
        priority=priority,
        undo_days=undo_days,
        irreversible=irreversible,
        streaming=streaming,
        frozen=frozen,
        on_failure=on_failure,
        max_failures=max_failures,
        max_failure_ratio=max_failure_ratio,
        on_locked=on_locked,
        settings=whose.typed_settings(settings),
        role=role,
        once=once,
    )
    state = state_of(context)
    with state.ledger() as ledger:
        schedule_wanted(
            ledger,
            state.terminal(),
            wanted,
            at=at,
            cron=cron,
            timezone=timezone,
            catch_up=catch_up,
            selection=selection,
            confirmed=yes,
        )


def list_(
    context: typer.Context,
    status: Annotated[
        str | None, typer.Option("--status", help="active, paused, cancelled or ended.")
    ] = None,
    limit: option.Limit = 20,
    _json: option.Json = False,
) -> None:
    """List schedules, the newest first."""
    from .cli_scheduling import list_schedules

    state = state_of(context)
    with state.ledger() as ledger:
        list_schedules(state.terminal(), ledger.schedules(status=status, limit=limit))


def show(
    context: typer.Context,
    schedule: Schedule = "last",
    limit: option.Limit = 10,
    _json: option.Json = False,
) -> None:
    """Show a schedule: what and when, the next runs, and what became of those before."""
    from .cli_scheduling import show_schedule

    state = state_of(context)
    with state.ledger() as ledger:
        show_schedule(ledger, state.terminal(), schedule, limit=limit)


def upcoming(context: typer.Context, limit: option.Limit = 10, _json: option.Json = False) -> None:
    """List the next runs of all schedules, each by the clocks of its zone."""
    from .cli_scheduling import show_upcoming

    state = state_of(context)
    with state.ledger() as ledger:
        show_upcoming(state.terminal(), ledger.upcoming(limit))


def pause(
    context: typer.Context,
    schedule: Schedule,
    by: option.By = None,
    reason: option.Reason = None,
    _json: option.Json = False,
) -> None:
    """Let nothing of it run until it is resumed."""
    from .cli_scheduling import steer

    state = state_of(context)
    with state.ledger() as ledger:
        steer(ledger, state.terminal(), schedule, lambda it: it.pause(by=by, reason=reason))


def resume(
    context: typer.Context,
    schedule: Schedule,
    by: option.By = None,
    reason: option.Reason = None,
    _json: option.Json = False,
) -> None:
    """Let it go on.

    What fell due during the pause runs only if the schedule catches up with all.
    """
    from .cli_scheduling import steer

    state = state_of(context)
    with state.ledger() as ledger:
        steer(ledger, state.terminal(), schedule, lambda it: it.resume(by=by, reason=reason))


def reschedule(
    context: typer.Context,
    schedule: Schedule,
    at: option.At = None,
    cron: option.Cron = None,
    timezone: option.Timezone = None,
    by: option.By = None,
    reason: option.Reason = None,
    _json: option.Json = False,
) -> None:
    """Give it another time, expression or zone."""
    from .cli_scheduling import reschedule as give_rule

    state = state_of(context)
    with state.ledger() as ledger:
        give_rule(
            ledger,
            state.terminal(),
            schedule,
            at=at,
            cron=cron,
            timezone=timezone,
            by=by,
            reason=reason,
        )


def cancel(
    context: typer.Context,
    schedule: Schedule,
    by: option.By = None,
    reason: option.Reason = None,
    _json: option.Json = False,
) -> None:
    """End it. What it has set going already goes on."""
    from .cli_scheduling import steer

    state = state_of(context)
    with state.ledger() as ledger:
        steer(ledger, state.terminal(), schedule, lambda it: it.cancel(by=by, reason=reason))


def run_now(
    context: typer.Context,
    schedule: Schedule,
    by: option.By = None,
    reason: option.Reason = None,
    _json: option.Json = False,
) -> None:
    """Run it once more, out of turn, by the workers. What is due next stays as it is."""
    from .cli_scheduling import run_schedule_now

    state = state_of(context)
    with state.ledger() as ledger:
        run_schedule_now(ledger, state.terminal(), schedule, by=by, reason=reason)
