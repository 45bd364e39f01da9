"""An option that cannot be used is named as it was typed, and what is wrong is said in a plain sentence."""

import re

import pytest

from tests.command_line import CommandLine

BY = ("--by", "user:42")
UPDATE = ("run", "places", "update", "--all", "--set", "note=x", "--yes")
SCHEDULE = ("schedule", "places", "update", "--all", "--set", "note=x")
FOREIGN = re.compile(
    r"Input |Value error|constrained|literal\[|tagged|function-|String should|all:|Execution are"
)
PYTHON = re.compile(
    r"\b(max_failures|max_failure_ratio|on_failure|on_locked|batch_size|catch_up)\b"
)


@pytest.fixture
def cli(database_url: str, places: str) -> CommandLine:
    assert places == "public.places"
    return CommandLine(database_url)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ((*UPDATE, "--max-failures", 3), "--max-failures and --max-failure-ratio want --on-failure stop or rollback."),
        ((*UPDATE, "--on-failure", "explode"), "--on-failure: it must be continue, stop or rollback."),
        ((*UPDATE, "--on-failure", "rollback", "--irreversible"), "--on-failure rollback takes back what was done,"),
        ((*UPDATE, "--on-failure", "stop", "--max-failures", -1), "--max-failures: it must be 0 or more."),
        ((*UPDATE, "--on-failure", "stop", "--max-failure-ratio", 2), "--max-failure-ratio: it must be 1 or less."),
        ((*UPDATE, "--on-locked", "never"), "--on-locked: it must be fail, skip or wait."),
        ((*UPDATE, "--rate", 0), "--rate: it must be 0.001 or more."),
        ((*UPDATE, "--rate", "inf"), "--rate: it must be a finite number."),
        ((*UPDATE, "--concurrency", 0), "--concurrency: it must be 1 or more."),
        ((*UPDATE, "--adaptive", 0), "--adaptive: it must be more than 0."),
        ((*UPDATE, "--batch-size", 0), "--batch-size: it must be 1 or more."),
        ((*UPDATE, "--priority", 500), "--priority: it must be 100 or less."),
        ((*UPDATE, "--queue", ""), "--queue: it is empty."),
        ((*UPDATE, "--queue", "a\x01"), "--queue: a name has no control characters."),
        ((*UPDATE, "--once", ""), "--once: it is empty."),
        ((*UPDATE, "--by", "a" * 300), "'--by' (env var: 'ACTION_LEDGER_ACTOR'): it must have 200 characters at most."),
        (("run", "places", "restore", "--keys", 1, "--mark", "x"), "--mark: it must be deleted or archived."),
        (("run", "places", "export", "--keys", 1), "--to: it is missing; --format: it is missing."),
        (("run", "places", "export", "--keys", 1, "--to", "x.foo"), "--format: it must be csv, xlsx, json,"),
        (("run", "places", "delete", "--keys", 1, "--mark", "x"), "--mark: it takes nothing of that name."),
        (("run", "places", "archive", "--keys", 1, "--param", "x=1"), "--param x: it takes nothing of that name."),
        (("run", "places", "update", "--all", "--params-json", '{"values": 3}'), "values: it must be an object."),
        (("run", "places", "update", "--set", "note=x", "--where-json", "[]"), "it must be an object."),
        (("run", "places", "update", "--set", "note=x", "--where-json", '{"kind": "nope"}'), "kind must be comparison,"),
        (("tune", "last", "--rate", "fast"), "--rate: it must be a number, or it must be unlimited."),
        (("tune", "last", "--rate", "0"), "--rate: it must be 0.001 or more, or it must be unlimited."),
        (("tune", "last", "--concurrency", "1.5"), "--concurrency: it must be a whole number, or it must be unlimited."),
        (("tune", "last", "--priority", 1000), "--priority: it must be 100 or less."),
        (("pause", "last", "--by", "\x01"), "'--by' (env var: 'ACTION_LEDGER_ACTOR'): a name has no control characters."),
        (("undo", "last", "--once", ""), "--once: it is empty."),
        ((*UPDATE, "--set", "note=y"), "the column 'note' is given twice"),
        ((*UPDATE, "--set-null", "note"), "the column 'note' is given twice"),
        ((*UPDATE, "--param", "x=1", "--param", "x=2"), "--param 'x' is given twice"),
        ((*UPDATE, "--set", "name = quiet"), "name=quiet is without them, and 'name= quiet' is a value that begins"),
        ((*SCHEDULE, "--at", "tomorrow", "--timezone", "UTC"), "--at: it is no time;"),
        ((*SCHEDULE, "--at", "2027-13-01", "--timezone", "UTC"), "--at: it is no time;"),
        ((*SCHEDULE, "--cron", "0 0 * * *", "--timezone", "UTC", "--catch-up", "x"), "--catch-up: it must be skip, last or all."),
        ((*SCHEDULE, "--cron", "0 0 * * *", "--timezone", "UTC", "--selection", "x"), "--selection: it must be evaluated or frozen."),
        ((*SCHEDULE, "--cron", "0 0 * * *", "--timezone", "x" * 300), "--timezone: it must have 200 characters at most."),
    ],
)  # fmt: skip
def test_an_option_is_named_as_it_was_typed(
    cli: CommandLine, command: tuple[object, ...], sentence: str
) -> None:
    cli(*UPDATE, *BY)
    by = () if "--by" in command else BY
    for words in (command, (*command, "--json")):
        said = cli(*words, *by)
        assert said.code == 2
        assert sentence in said.err
        assert not FOREIGN.search(said.err)
        assert not PYTHON.search(said.err)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("BATCH_SIZE", "0", "ACTION_LEDGER_BATCH_SIZE cannot be used: it must be 1 or more."),
        ("BATCH_SIZE", "x", "it must be a whole number."),
        ("POLL_SECONDS", "x", "it must be a number."),
        ("LISTEN", "maybe", "it must be true or false."),
        ("CONFIRM", "x", "it must be never, destructive or always."),
    ],
)
def test_a_setting(cli: CommandLine, name: str, value: str, sentence: str) -> None:
    said = cli("executions", **{f"ACTION_LEDGER_{name}": value})
    assert (said.code, said.error) == (2, "invalid_setting")
    assert sentence in said.err
