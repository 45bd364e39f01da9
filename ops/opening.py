"""Opens a ledger: the pool that the settings ask for, migrated as it has to be."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from pydantic import SecretStr

from action_ledger.domain.actions import Action
from action_ledger.domain.errors import InvalidSetting
from action_ledger.domain.hooks import Hook
from action_ledger.domain.policy import Authorize

from .database import Database
from .embedded import embedded_url
from .ledger import Ledger
from .migrations import migrate, require_current
from .settings import Settings
from .views import Probe


def open_ledger(
    url: str | None = None,
    *,
    settings: Settings | None = None,
    actions: Iterable[Action] = (),
    throttle: Probe | None = None,
    hooks: Mapping[str, Hook] | None = None,
    authorize: Authorize | None = None,
) -> Ledger:
    """Open the ledger of a database; without a URL, that of the settings, or else the embedded server's.

    ``actions`` are known to it beside the built-in ones: workers take up what they know, and leave the rest to
    others. ``throttle`` is a function that can hold executions back, see :meth:`Ledger.throttle`. ``hooks`` are
    functions by the names under which requests name them, see :meth:`Ledger.hook`. ``authorize`` is asked whether an
    actor may do what a command says, when it comes, before each batch and for an undo: anything but True is a no.
    Workers need it too.

    The embedded server's schema is migrated here. On a server of yours that is ``action-ledger migrate``.

    Raises:
        StoreNotMigrated: The schema is missing or older than this release.
        EmbeddedUnavailable: There is no URL, and the embedded server is not installed.
        StoreUnavailable: The server cannot be reached, or refuses the login.
        InvalidSetting: The URL is empty.
    """
    settings = settings or Settings()
    if url is not None:
        settings = settings.model_copy(update={"database_url": SecretStr(url)})
    database = open_database(settings)
    with ExitStack() as undone:
        undone.callback(database.close)
        with database.connection() as connection:
            if settings.database_url is None:
                migrate(connection, settings.db_schema)
            require_current(connection, settings.db_schema)
        undone.pop_all()
    ledger = Ledger(database, settings, actions=actions, hooks=hooks or {}, authorize=authorize)
    ledger.throttle(throttle)
    return ledger


def open_database(settings: Settings) -> Database:
    """Open the pool that the settings ask for. Raises StoreUnavailable at once when the server refuses."""
    url = settings.database_url
    if url is not None and not url.get_secret_value().strip():
        raise InvalidSetting(setting="ACTION_LEDGER_DATABASE_URL", detail="it is empty")
    return Database(
        url.get_secret_value() if url else embedded_url(Path(settings.data_dir)),
        min_size=settings.pool_min_size,
        max_size=settings.pool_max_size,
        timeout=settings.pool_timeout_seconds,
        prepare_threshold=settings.prepare_threshold,
    ).open()
