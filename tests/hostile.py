"""Names and values that have broken programs before: quotes, placeholders, braces, comments, bytes, directions."""

import random

FRAGMENTS = (
    "'", "''", '"', '""', "`", "\\", "\\\\", "\\'", "%", "%%", "%s", "%(p0)s", "%(key0)s", "{", "}", "{}", "{schema}",
    "{0}", "${x}", "$1", "$$", ":x", "?", ";", "--", "/*", "*/", "#", "\n", "\r\n", "\t", "\b", "\x01", "\x1b[31m",
    "\x7f", "é", "e\u0301", "ß", "İ", "☃", "😀", "\u202e", "\u200b", "\ufeff", " ", ".", ",", "(", ")", "[", "]",
    "NULL", "null", "true", "\\N", "\\.", "E'", "=", "<>", "&", "|", "@", "'; DROP TABLE places; --",
    "1 OR 1=1", "pg_catalog", "public", "id", "old", "new", "t", "q", "0", "-1", "NaN",
)  # fmt: skip
IDENTIFIER_BYTES = 63


def hostile(count: int, *, identifiers: bool = False) -> list[str]:
    """Give so many texts, each another: every fragment alone, then some of them together."""
    chance = random.Random(0)  # noqa: S311 - the same each time
    found: dict[str, None] = dict.fromkeys(FRAGMENTS)
    while len(found) < count * 2:
        found["".join(chance.choices(FRAGMENTS, k=chance.randint(2, 5)))] = None
    fitting = (text for text in found if not identifiers or len(text.encode()) <= IDENTIFIER_BYTES)
    return list(fitting)[:count]
