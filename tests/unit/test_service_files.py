"""What service managers are given: readable, with a command that exists, and with enough time to stop."""

import configparser
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import typer

from action_ledger.ops.cli import app
from action_ledger.ops.settings import Settings

OPS = Path(__file__).parents[2] / "ops"
UNIT = OPS / "action-ledger-worker@.service"
SUPERVISOR = OPS / "action-ledger-worker.supervisor.conf"


def read(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(comment_prefixes=("#", ";"), inline_comment_prefixes=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(path)
    return parser


def check_command(line: str) -> None:
    """The command line names the program, a command of it, and options that the command has."""
    program, name, *arguments = shlex.split(line)
    assert Path(program).name == "action-ledger"
    group = typer.main.get_command(app)
    assert hasattr(group, "commands")
    command = group.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    asked = {argument for argument in arguments if argument.startswith("--")}
    assert asked
    assert asked <= known
    command.make_context(
        name, [word.replace("%", "") for word in arguments], resilient_parsing=True
    )


def test_the_systemd_unit() -> None:
    service = read(UNIT)["Service"]
    check_command(service["ExecStart"])
    assert service["Restart"] == "always"
    assert service["KillSignal"] == signal.SIGTERM.name
    assert float(service["TimeoutStopSec"]) > Settings().batch_timeout_seconds
    assert service["SuccessExitStatus"].split() == ["6", "130"]
    assert "EnvironmentFile" in service


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    """But for the program, which is not installed where the unit has it."""
    unit = tmp_path / "action-ledger-worker@1.service"
    program = tmp_path / "action-ledger"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = UNIT.read_text().replace("/opt/action-ledger/bin/action-ledger", str(program))
    unit.write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    about_us = [line for line in done.stderr.splitlines() if "action-ledger-worker" in line]
    assert about_us == []


def test_the_supervisor_program() -> None:
    program = read(SUPERVISOR)["program:action-ledger-worker"]
    check_command(program["command"])
    assert program["autorestart"] == "true"
    assert program["stopsignal"] == "TERM"
    assert float(program["stopwaitsecs"]) > Settings().batch_timeout_seconds
    assert "process_num" in program["process_name"]
