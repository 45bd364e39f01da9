"""The named points of the work, as the projections have them too: tests strike there."""

from action_ledger.projections.steps import Strike, reached, strike

__all__ = ["Strike", "reached", "strike"]
