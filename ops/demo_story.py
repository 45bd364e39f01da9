"""The words of the demo."""

from .cli_hints import Step

AUTHOR = "demo:mapmaker"
COUNTRIES = ("DE", "ES", "FR", "IT", "MX", "US")
SMALL = 1000

STEPS = (
    "Real data: the places of the world with at least 500 people",
    "Archive the places under {small:,} people in {countries}",
    "Update all others: status = 'reviewed', score = population / 1000 + 1",
    "Meanwhile somebody edits five places by hand, with plain SQL",
    "Undo both, the newest first. Four edits are conflicts; the renaming is none, since no action wrote the name",
    "Proof: a checksum over every column, before and after",
    "The audit trail of the first execution, one event of each kind",
    "The history of one place, {place}",
    "Every view is built anew from the events, and compared with them",
    "Summary",
)
"""What each step is, in order."""

OUTSIDER = {
    "kept": "taken out of the archive",
    "reason": "its archive reason is changed",
    "gone": "deleted",
    "renamed": "renamed, a column that no action wrote",
    "score": "its score is set to -1",
}
"""What the hand that edits does."""

PREVIEW = ("demo.places", "delete", "--hard", "--where", "country = IS")

NEXT = (
    Step("What was done", ("executions",)),
    Step("The first of them", ("show", "{id}")),
    Step("Archive again what the undo brought back", ("redo", "{id}", "--by", "me")),
    Step("All that happened to one place", ("history", "demo.places", "{place}")),
    Step("Look before you delete", ("preview", *PREVIEW, "--by", "me")),
    Step("Delete the places of Iceland", ("run", *PREVIEW, "--by", "me")),
    Step("Bring them back", ("undo", "last", "--by", "me")),
    Step("What else there is", ("run", "--help")),
)
"""Commands to go on with."""
