"""Names and values that have broken programs before: quotes, placeholders, braces, comments, bytes, directions."""

import random

FRAGMENTS = (
    "'", "''", '"', '""', "`", "\\", "\\\\", "\\'", "%", "%%", "%s", "%(p0)s", "%(key0)s", "{", "}", "{}", "{schema}",
    "{0}", "${x}", "$1", "$$", ":x", "?", ";", "--", "/*", "*/", "#", "\n", "\r\n", "\t", "\b", "\x01", "\x1b[31m",
    "\x7f", "é", "e\u0301", "ß", "İ", "☃", "😀", "\u202e", "\u200b", "\ufeff", " ", ".", ",", "(", ")", "[", "]",
    "NULL", "null", "true", "\\N", "\\.", "E'", "=", "<>", "&", "|", "@", "'; DROP TABLE places; --",
    "1 OR 1=1", "pg_catalog", "public", "id", "old", "new", "t", "q", "0", "-1", "NaN",
    "pg_class", "pg_catalog.pg_class", "information_schema", "xmin", "oid", "select", "user", "order", "SELECT", "\u0456d",
    "\uff49\uff44", "\u2019; DROP TABLE places; \u2014", "\u02bc", "\u037e", "\u2215*", "%(reason)s", "{identifier}",
    "1; SELECT pg_sleep(9)", "') OR TRUE --", '"; DROP TABLE places; --', "../../etc/passwd", "~", "COPY", "x" * 63,
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
