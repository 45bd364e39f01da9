"""What came of one compensation, added up source by source: the event that ends it is made of this."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from action_ledger.domain.event import Tally

from .slices import Slices


@dataclass(slots=True)
class Result:
    """What came of a compensation: of the records, and by table of their children."""

    tally: Tally = field(default_factory=Tally)
    children: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    reached: Counter[str] = field(default_factory=Counter[str])
    sqlstates: Counter[str] = field(default_factory=Counter[str])
    digests_by_part: dict[int, str] = field(default_factory=dict[int, str])
    excepted: set[str] = field(default_factory=set[str])
    outcomes: int = 0
    """How many lists there are of records that were not taken back, or not as a whole."""

    @property
    def digests(self) -> list[str]:
        """The digests of the change set's parts, in their order."""
        return [self.digests_by_part[part] for part in sorted(self.digests_by_part)]

    @property
    def applied(self) -> int:
        """How many rows were taken back, of whatever table."""
        return sum(self.children.values(), self.tally).applied

    def add(self, child_table: str | None, slices: Slices) -> None:
        """Count what came of a source."""
        self.sqlstates += slices.sqlstates
        if child_table is None:
            self.tally += slices.tally
        else:
            self.children[child_table] += slices.tally

    def forget_outcomes(self) -> None:
        """Keep only what was taken back."""
        self.sqlstates.clear()
        self.tally = Tally(applied=self.tally.applied)
        for table, tally in self.children.items():
            self.children[table] = Tally(applied=tally.applied)
