"""What pydantic found wrong, in plain sentences that need no knowledge of it or of Python."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

Finding = Mapping[str, Any]

_NO_NAME = re.compile(r"constrained-\w+|[a-z-]+\[.*\]")
"""What pydantic puts between the names of fields: the types of which a value could have been one."""
_WHOLE, _NUMBER, _TEXT, _OBJECT, _LIST = (
    "it must be a whole number",
    "it must be a number",
    "it must be a text",
    "it must be an object",
    "it must be a list",
)
_TIME = 'it is no time; one looks like "2027-03-01 02:00"'

_PLAIN: dict[str, str] = {
    "extra_forbidden": "it takes nothing of that name",
    "missing": "it is missing",
    "too_short": "it is empty",
    "finite_number": "it must be a finite number",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "bool_type": "it must be true or false",
    "bool_parsing": "it must be true or false",
    "string_type": _TEXT,
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "uuid_type": "it is no id",
    "uuid_parsing": "it is no id",
}
_WITH_BOUNDS: dict[str, str] = {
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be {ge} or more",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be {le} or less",
    "string_too_long": "it must have {max_length} characters at most",
    "too_long": "it must have {max_length} at most",
    "string_too_short": "it must have {min_length} characters or more",
}
_CHOICES: dict[str, str] = {
    "enum": "it must be {expected}",
    "literal_error": "it must be {expected}",
    "union_tag_invalid": "its {discriminator} must be {expected_tags}, not {tag}",
    "union_tag_not_found": "it has no {discriminator}",
}


def wrong_fields(
    error: ValidationError, *, named: Callable[[str], str] = str, told: Callable[[str], str] = str
) -> str:
    """Say what was found, field by field. ``named`` gives the name of a field, ``told`` words a sentence of ours."""
    found: dict[str, list[str]] = {}
    for one in error.errors(include_input=False, include_url=False):
        sentences = found.setdefault(_place(one), [])
        sentence = what_is_wrong(one, told)
        if sentence not in sentences:
            sentences.append(sentence)
    return "; ".join(
        f"{named(place)}: {', or '.join(sentences)}" if place else ", or ".join(sentences)
        for place, sentences in found.items()
    )


def _place(one: Finding) -> str:
    return ".".join(part for part in map(str, one["loc"]) if not _NO_NAME.fullmatch(part))


def what_is_wrong(one: Finding, told: Callable[[str], str] = str) -> str:
    """Say one finding, without its place."""
    kind, said = one["type"], one.get("ctx", {})
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind == "string_too_short" and said["min_length"] == 1:
        return "it is empty"
    if kind in _WITH_BOUNDS:
        return _WITH_BOUNDS[kind].format_map({name: _short(bound) for name, bound in said.items()})
    if kind in _CHOICES:
        return _CHOICES[kind].format(**said).replace("'", "")
    message = str(one["msg"])
    if kind in {"value_error", "assertion_error"}:
        return told(str(said["error"]))
    return message


def _short(bound: object) -> object:
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound
