"""`action-ledger demo`: the main job on real records, from a bulk change to its undo, with what can go wrong."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from uuid import UUID

from psycopg import Connection
from psycopg.rows import DictRow
from rich.text import Text

from action_ledger.domain.columns import col

from .builder import Request
from .cli_bars import counting, watching
from .cli_cards import past_tense, tally
from .cli_hints import Step
from .cli_lookup import read_size
from .cli_outcome_tables import conflicts_table
from .cli_reading import history_lines, show_audit
from .cli_terminal import BAD, GOOD, QUIET, Terminal, duration, many
from .cli_views_upkeep import rebuilt_table, verified_table, watched
from .database import connect
from .demo_story import AUTHOR, COUNTRIES, NEXT, OUTSIDER, SMALL, STEPS
from .embedded import embedded_url
from .handle import Handle
from .handles import ExecutionHandle, UndoHandle
from .ledger import Ledger
from .places import SQL, TABLE, load_places, read_places
from .settings import Settings
from .views import AuditEntry

WORKERS = 2


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the summary."""

    what: str
    records: int
    batches: int
    seconds: float
    ledger_bytes: int


@dataclass(slots=True)
class Demo:
    """One run of the demo."""

    ledger: Ledger
    terminal: Terminal
    outsider: Connection[DictRow]
    measured: list[Measured] = field(default_factory=list[Measured])
    touched: dict[str, int] = field(default_factory=dict[str, int])
    step: int = 0

    def title(self, **values: object) -> None:
        """Begin the next step."""
        self.terminal.say(f"\n{self.step + 1}. {STEPS[self.step].format(**values)}", "bold")
        self.step += 1

    def load(self) -> None:
        """Load the places."""
        self.title()
        started = time.monotonic()
        with counting(self.terminal, "places") as watch:
            rows = read_places()
            load_places(self.outsider, rows, watch)
        seconds = time.monotonic() - started
        self.terminal.say(
            f"  {len(rows):,} places in {TABLE}, read and copied in {duration(seconds)}"
        )

    def change(self) -> tuple[ExecutionHandle, ExecutionHandle]:
        """Archive the small places of some countries, then update others by an expression."""
        small = col("population") < SMALL
        here = col("country").in_(COUNTRIES)
        places = self.ledger.on(TABLE)
        self.title(countries=", ".join(COUNTRIES), small=SMALL)
        archived = self._run(
            "archive", places.where(here & small).archive("too small for the map"), "DEMO-1"
        )
        self.title(small=SMALL)
        updated = self._run(
            "update",
            places.where(~small).update(status="reviewed", score=col("population") / 1000 + 1),
            "DEMO-2",
        )
        self.ledger.catch_up()
        return archived, updated

    def meddle(self) -> None:
        """Edit some rows by hand, with plain SQL, as people do."""
        self.title()
        archived = self.outsider.execute(SQL["archived"]).fetchall()
        (reviewed,) = self.outsider.execute(SQL["reviewed"]).fetchall()
        hands = zip(("kept", "reason", "gone", "renamed"), archived, strict=True)
        for hand, row in (*hands, ("score", reviewed)):
            self.outsider.execute(SQL[f"by_hand_{hand}"], {"id": row["geonameid"]})
            self.touched[hand] = row["geonameid"]
            self.terminal.say(f"  {row['name']} ({row['geonameid']}): {OUTSIDER[hand]}")

    def take_back(self, archived: ExecutionHandle, updated: ExecutionHandle) -> None:
        """Undo both, and show the conflicts."""
        self.title()
        undos = [self._undo("undo of update", updated), self._undo("undo of archive", archived)]
        self.terminal.say(
            "\n  The conflicts, with what the ledger had written and what is there now:"
        )
        conflicts = [one for undo in undos for one in undo.conflicts()]
        conflicts_table(self.terminal, islice(conflicts, 10))

    def prove(self) -> None:
        """Compare every column of every row that no hand touched with the original."""
        self.title()
        row = (
            self.outsider.execute(
                SQL["checksums"], {"touched": list(self.touched.values())}
            ).fetchone()
            or {}
        )
        same = row["original"] == row["now"]
        self.terminal.say(f"  original {row['original']}\n  now      {row['now']}")
        verdict = Text("equal", GOOD) if same else Text("DIFFERENT", BAD)
        self.terminal.say(
            Text.assemble(f"  {row['places']:,} places that no hand touched: ", verdict)
        )

    def tell(self, archived: ExecutionHandle) -> None:
        """Show the audit trail, and the history of one place as far as this run made it."""
        self.title()
        kinds: dict[str, AuditEntry] = {}
        for entry in self.ledger.audit(execution_id=archived.id, limit=1000):
            kinds.setdefault(entry.topic, entry)
        show_audit(self.terminal, kinds.values(), with_id=False)
        self.title(place=self.touched["renamed"])
        entries = self.ledger.history(TABLE, self.touched["renamed"])
        history_lines(
            self.terminal, [entry for entry in entries if entry.execution_id == archived.id]
        )

    def rebuild(self) -> None:
        """Rebuild the views from the events, and verify them."""
        self.title()
        with watched(self.terminal, "rebuild") as watch:
            rebuilt = self.ledger.projections.rebuild(watch=watch)
        rebuilt_table(self.terminal, rebuilt)
        with watched(self.terminal, "verify") as watch:
            verified = self.ledger.projections.verify(watch=watch)
        self.terminal.say()
        verified_table(self.terminal, verified)

    def summary(self) -> None:
        """Show what was measured."""
        self.title()
        rows = (
            (
                one.what,
                one.records,
                one.batches,
                f"{one.seconds:.2f}",
                f"{one.records / one.seconds:,.0f}",
                f"{one.ledger_bytes / max(one.records, 1):,.1f}",
            )
            for one in self.measured
        )
        headers = ("WHAT", "RECORDS", "BATCHES", "SECONDS", "RECORDS/S", "LEDGER BYTES/RECORD")
        self.terminal.table(headers, rows, right=headers[1:])

    def _run(self, label: str, request: Request, reason: str) -> ExecutionHandle:
        request = request.by(AUTHOR, reason=reason)
        size, started = read_size(self.ledger.store), time.monotonic()
        with watching(self.terminal, label) as bar:
            execution = request.run(workers=WORKERS, watch=bar.watch)
        self._measure(label, execution, size, started, done=past_tense(label))
        return execution

    def _undo(self, label: str, execution: ExecutionHandle) -> UndoHandle:
        size, started = read_size(self.ledger.store), time.monotonic()
        with watching(self.terminal, label) as bar:
            undo = execution.undo(by=AUTHOR, reason="DEMO-3").run(workers=WORKERS, watch=bar.watch)
        self._measure(label, undo, size, started, done="restored")
        return undo

    def _measure(self, label: str, handle: Handle, size: int, started: float, *, done: str) -> None:
        seconds = time.monotonic() - started
        counts, grown = handle.progress(), read_size(self.ledger.store) - size
        self.measured.append(Measured(label, counts.applied, counts.batches, seconds, grown))
        text = tally(counts, applied=done, skipped="in conflict")
        self.terminal.say(text.append(f"; {many(counts.batches, 'batch')}, {duration(seconds)}"))


def run_demo(ledger: Ledger, terminal: Terminal) -> None:
    """Run the demo from its start to its end."""
    started = time.monotonic()
    with connect(_url(ledger.settings)) as outsider:
        demo = Demo(ledger, terminal, outsider)
        demo.load()
        archived, updated = demo.change()
        demo.meddle()
        demo.take_back(archived, updated)
        demo.prove()
        demo.tell(archived)
        demo.rebuild()
        demo.summary()
    terminal.say(f"\nDone in {duration(time.monotonic() - started)}. What to try next:", "bold")
    terminal.steps(next_steps(archived.id, demo.touched["renamed"]))
    if ledger.settings.database_url is None:
        where = ledger.settings.data_dir
        terminal.say(f"The places and the ledger stay in {where}/, an embedded PostgreSQL.", QUIET)


def next_steps(execution_id: UUID, place: int) -> Iterator[Step]:
    """Give what to go on with, about the execution and the place of this run."""
    for step in NEXT:
        words = (str(word).format(id=execution_id, place=place) for word in step.words)
        yield replace(step, words=tuple(words))


def _url(settings: Settings) -> str:
    """Give the URL of the ledger's database, for the hand that knows nothing of the ledger."""
    url = settings.database_url
    return url.get_secret_value() if url else embedded_url(settings.data_dir)
