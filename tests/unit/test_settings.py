"""Settings come from `ACTION_LEDGER_*` variables or arguments, are checked, and keep their secret."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from action_ledger.ops.settings import Settings


def test_defaults() -> None:
    settings = Settings()
    assert settings.database_url is None
    assert (settings.data_dir, settings.db_schema) == (Path(".action-ledger"), "action_ledger")
    assert (settings.batch_size, settings.undo_expiry_days, settings.queue) == (
        10_000,
        7,
        "default",
    )


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTION_LEDGER_BATCH_SIZE", "500")
    monkeypatch.setenv("ACTION_LEDGER_QUEUE_NAME", "bulk")
    monkeypatch.setenv("ACTION_LEDGER_DATA_DIR", "")
    settings = Settings()
    assert (settings.batch_size, settings.queue) == (500, "bulk")
    assert settings.data_dir == Path(".action-ledger")
    assert Settings(batch_size=7, queue="mine").batch_size == 7


def test_the_database_url_is_secret() -> None:
    settings = Settings(database_url=SecretStr("postgresql://me:s3cret@h/d"))
    assert "s3cret" not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", "0"),
        ("undo_expiry_days", "91"),
        ("db_schema", "Ledger"),
        ("db_schema", 'a"; DROP'),
        ("lease_seconds", "0"),
    ],
)
def test_what_makes_no_sense_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"ACTION_LEDGER_{name.upper()}", value)
    with pytest.raises(ValidationError) as raised:
        Settings()
    assert name in str(raised.value)
    assert "DROP" not in str(raised.value)
