"""Two tenants in one table under row-level security, and logins that the policies hold for, or not."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow

from action_ledger.domain import Action
from action_ledger.domain.policy import Authorize
from action_ledger.ops import Ledger, Settings, open_ledger

SETTING = "app.tenant_id"
SEVEN = {SETTING: "7"}
EIGHT = {SETTING: "8"}
ROWS = 60
"""Of each tenant; those of tenant 7 have odd ids."""

TABLE = """
CREATE TABLE public.accounts (
    id int PRIMARY KEY, tenant_id int NOT NULL, note text NOT NULL DEFAULT 'old', deleted_at timestamptz
);
INSERT INTO public.accounts SELECT n, 8 - n % 2, 'of ' || 8 - n % 2 FROM generate_series(1, 120) AS n;
ALTER TABLE public.accounts ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_tenant ON public.accounts USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::int);
"""
RIGHTS = """
GRANT USAGE ON SCHEMA action_ledger TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA action_ledger TO {role};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA action_ledger TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON public.accounts TO {role};
"""
NO_EVENTS = "REVOKE INSERT, UPDATE, DELETE ON action_ledger.stored_events FROM {role}"


@dataclass(frozen=True)
class Tenants:
    """The table's owner, who is a superuser, and the login of the ledger."""

    connection: Connection[DictRow]
    url: str
    login_url: str
    login: str
    role: str
    """One that nobody can log in as, and that the policies hold for; the superuser may take it on."""

    def ledger(self, **settings: Any) -> Ledger:
        """Open the ledger as its login."""
        return self.ledger_as(self.login_url, **settings)

    def ledger_as(
        self,
        url: str,
        actions: Iterable[Action] = (),
        authorize: Authorize | None = None,
        **settings: Any,
    ) -> Ledger:
        """Open it as somebody else."""
        allowed = {"context_settings": (SETTING,), "context_roles": (self.role,)}
        chosen = Settings.model_validate({**allowed, **settings})
        return open_ledger(url, settings=chosen, actions=actions, authorize=authorize)

    def notes(self) -> dict[int, set[str]]:
        """Say which notes each tenant's rows have."""
        rows = self.connection.execute(
            "SELECT tenant_id, array_agg(DISTINCT note) AS notes FROM public.accounts GROUP BY 1"
        )
        return {row["tenant_id"]: set(row["notes"]) for row in rows}


@contextmanager
def tenants_on(connection: Connection[DictRow], url: str) -> Generator[Tenants]:
    """Make the table, the login and the role, and take the latter two away."""
    name = str(conninfo_to_dict(url)["dbname"])
    login, role = f"worker_{name}", f"tenant_{name}"
    for statement in (TABLE, "CREATE ROLE {login} LOGIN", "CREATE ROLE {role} NOLOGIN"):
        _run(connection, statement, login=login, role=role)
    for each in (login, role):
        _run(connection, RIGHTS, role=each)
    _run(connection, NO_EVENTS, role=role)
    try:
        yield Tenants(connection, url, make_conninfo(url, user=login), login, role)
    finally:
        for each in (login, role):
            _run(connection, "DROP OWNED BY {role}; DROP ROLE {role}", role=each)


def _run(connection: Connection[DictRow], statement: str, **names: str) -> None:
    identifiers = {name: sql.Identifier(value) for name, value in names.items()}
    connection.execute(sql.SQL(statement).format(**identifiers))
