"""Views of actions: what is known of each before it is run."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from action_ledger.domain.actions import Action, Reversibility


class ActionView(BaseModel):
    """An action of a ledger. ``parameters`` is the JSON schema of what it takes."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    """built_in, set, record or effect."""
    label: str
    description: str
    destructive: bool
    reversibility: Reversibility
    queue: str | None
    batch_size: int | None
    parameters: dict[str, Any]

    @classmethod
    def of(cls, action: Action) -> Self:
        """Describe an action."""
        return cls(
            name=action.name,
            kind=action.kind,
            label=action.label,
            description=action.description,
            destructive=action.destructive,
            reversibility=action.reversibility,
            queue=action.queue,
            batch_size=action.batch_size,
            parameters=action.parameters.model_json_schema(),
        )
