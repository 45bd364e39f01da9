"""The words of the demo."""

AUTHOR = "demo:mapmaker"
COUNTRIES = ("DE", "ES", "FR", "IT", "MX", "US")
SMALL = 1000

STEPS = (
    "Real data: the places of the world with at least 500 people",
    "Archive the places under {small:,} people in {countries}",
    "Update all others: status = 'reviewed', score = population / 1000 + 1",
    "Meanwhile somebody edits five places by hand, with plain SQL",
    "Undo both, the newest first",
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

NEXT = (
    "{program} executions",
    "{program} show {id}",
    "{program} redo {id} --by me",
    "{program} history demo.places {place}",
    '{program} preview demo.places delete --hard --where "country = IS"',
    '{program} run demo.places delete --hard --where "country = IS" --by me',
    "{program} undo last --by me",
    "{program} run --help",
)
"""Commands to go on with."""
