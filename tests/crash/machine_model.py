"""The model of the state machine: what a row's score is, and who holds which change of it, in plain Python."""

from dataclasses import dataclass, field

from action_ledger.ops.handles import ExecutionHandle, UndoHandle

Change = tuple[int, int]
"""A score before and after."""


@dataclass(slots=True)
class Did:
    """One execution: the records it is to change, and the changes of it that are in force."""

    handle: ExecutionHandle
    keys: set[int]
    batch: int
    pending: set[int] = field(default_factory=set)
    held: dict[int, Change] = field(default_factory=dict)
    applied: int = 0
    planned: bool = False

    def take(self, moved: dict[int, Change]) -> None:
        """One batch of it has been done."""
        assert moved.keys() <= self.pending, f"{moved}: not of this execution, or twice"
        assert len(moved) <= self.batch
        assert all(after == before + 1 for before, after in moved.values()), moved
        self.pending -= moved.keys()
        self.held |= moved
        self.applied += len(moved)


@dataclass(slots=True)
class Undid:
    """One undo, or the redo of one: the changes it may take back, and those it has taken."""

    handle: UndoHandle
    of: Did
    wanted: dict[int, Change]
    redoes: "Undid | None" = None
    taken: dict[int, Change] = field(default_factory=dict)
    back: dict[int, Change] = field(default_factory=dict)
    """Of what it took: what no redo has applied again."""

    def take(self, moved: dict[int, Change]) -> None:
        """One batch of it has been done."""
        for key, (before, after) in moved.items():
            assert key not in self.taken, f"{key} twice"
            assert self.wanted.get(key) == (after, before), f"{key}: not what was there before"
            self.taken[key] = (after, before)
            if self.redoes is None:
                self.back[key] = (after, before)
                del self.of.held[key]
            else:
                del self.redoes.back[key]
                self.of.held[key] = (before, after)


@dataclass(slots=True)
class World:
    """All rows, all executions and all undos."""

    scores: dict[int, int]
    did: list[Did] = field(default_factory=list)
    undid: list[Undid] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)

    def move(self, now: dict[int, int]) -> dict[int, Change]:
        """Take in how the rows are now; give what has changed."""
        moved = {
            key: (self.scores[key], score)
            for key, score in now.items()
            if score != self.scores[key]
        }
        self.scores = now
        return moved
