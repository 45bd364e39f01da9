"""The actor: who asks, as the host has verified it, on whose behalf, and from where.

Subject, issuer and ``on_behalf_of`` are ids, and stay in the events for ever: choose some that say nothing about a
person. Address and agent are contact data, which is kept apart from the events and can be erased.
"""

from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from typing_extensions import override

from .text import Line, Name


class Contact(BaseModel):
    """From where somebody asked: personal data, so never in an event."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: Line | None = None
    """An IP address, or the name of a host."""
    agent: Line | None = None
    """The program: a browser's user agent, a command line's name and version."""


class Actor(Contact):
    """Who asks. In JSON, and wherever a command is built, a name alone is an actor of that subject: ``"user:42"``.

    Two actors are the same person if their issuer and subject are.
    """

    subject: Name
    """Its id with whoever knows it: ``user:42``."""
    issuer: Name | None = None
    """Who knows it by that id, such as the address of an identity provider; None is the host itself."""
    on_behalf_of: Name | None = None
    """The subject for whom it acts, where that is somebody else."""

    @model_validator(mode="before")
    @classmethod
    def _of_name(cls, given: object) -> object:
        return {"subject": given} if isinstance(given, str) else given

    @model_serializer(mode="wrap")
    def _as_name(self, handler: SerializerFunctionWrapHandler) -> Any:  # noqa: ANN401 - a text or an object
        said = {name: value for name, value in handler(self).items() if value is not None}
        return said["subject"] if said.keys() == {"subject"} else said

    @staticmethod
    def stored(
        subject: str, issuer: str | None, on_behalf_of: str | None, contact: Contact
    ) -> "Actor":
        """Make it of what the ledger keeps, which was looked at when it came."""
        return Actor.model_construct(
            subject=subject,
            issuer=issuer,
            on_behalf_of=on_behalf_of,
            address=contact.address,
            agent=contact.agent,
        )

    @property
    def identity(self) -> Self:
        """The same without contact data: what stays in the ledger for ever."""
        return self.model_copy(update=dict.fromkeys(Contact.model_fields))

    @property
    def contact(self) -> Contact | None:
        """The contact data, where there is any."""
        contact = Contact(address=self.address, agent=self.agent)
        return None if contact == Contact() else contact

    def told(self, *, contact_erased: bool = False) -> str:
        """Say in a line who it is, on whose behalf, and from where."""
        parts = (
            self.subject,
            self.issuer and f"of {self.issuer}",
            self.on_behalf_of and f"on behalf of {self.on_behalf_of}",
            self.address and f"from {self.address}",
            self.agent and f"with {self.agent}",
            "(from where is erased)" if contact_erased else None,
        )
        return " ".join(filter(None, parts))

    @override
    def __str__(self) -> str:
        """Name the subject."""
        return self.subject


Asker = Actor | str
"""An actor as people give it."""
