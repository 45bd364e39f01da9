"""Conditions of the command line: what they are read as, what is refused, and that wording gives them back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from action_ledger.domain.columns import Column, col
from action_ledger.domain.errors import InvalidCondition
from action_ledger.domain.selection import And, Predicate
from action_ledger.ops.cli_conditions import parse_condition, parse_conditions
from action_ledger.ops.cli_wording import predicate_text


@pytest.mark.parametrize(
    ("text", "predicate"),
    [
        ("country = FR", col("country") == "FR"),
        ("country=FR", col("country") == "FR"),
        ("country = 'FR'", col("country") == "FR"),
        ("name != 'd''Or and (more)'", col("name") != "d'Or and (more)"),
        ("population < 1000", col("population") < "1000"),
        ("population<=-1.5e3", col("population") <= "-1.5e3"),
        ("population > 1000 ", col("population") > "1000"),
        ("at >= 2026-01-02 03:04:05+00", col("at") >= "2026-01-02 03:04:05+00"),
        ("name like Saint%", col("name").like("Saint%")),
        ("name LIKE 'S_int %'", col("name").like("S_int %")),
        ("country in (FR, 'DE' ,IT)", col("country").in_(["FR", "DE", "IT"])),
        ("country IN()", col("country").in_([])),
        ("country not  in (FR)", col("country").not_in(["FR"])),
        ("n between 1 and 5", col("n").between("1", "5")),
        ("t between 2026-01-01 00:00 and '2027'", col("t").between("2026-01-01 00:00", "2027")),
        ("x is null", col("x").is_null()),
        ("x IS NOT NULL", col("x").is_not_null()),
        ('"Na me""s" = New York', col('Na me"s') == "New York"),
        ("größe = ''", col("größe") == ""),
        ("x = 'null'", col("x") == "null"),
        ("x = android", col("x") == "android"),
        ("inside = notary", col("inside") == "notary"),
    ],
)
def test_read_as(text: str, predicate: Predicate) -> None:
    assert parse_condition(text) == predicate


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "begin with a column"),
        ("= 5", "begin with a column"),
        ("1 = 1", "begin with a column"),
        ("country", "no operator follows"),
        ("country is", "no operator follows"),
        ("country ~ 'F'", "no operator follows"),
        ("not country = FR", "no operator follows the column not"),
        ("country == FR", "== is not an operator"),
        ("country <> FR", "<> is not an operator"),
        ("country =", "a value is missing"),
        ("country = null", "is null"),
        ("country = FR and population < 5", "--where once for each"),
        ("country = FR or population < 5", "left over"),
        ("country = FR; drop table x", "left over"),
        ("country = 'FR' 'DE'", "left over"),
        ("country = 'FR", "a value is missing, or has to be quoted"),
        ('country = "FR"', "single quotes"),
        ("country = lower(x)", "left over"),
        ("country in FR", "in parentheses"),
        ("country in (FR", "separated by commas"),
        ("country in (FR,)", "a value is missing"),
        ("n between 1", "between 1 and 5"),
        ("n between 1 and", "a value is missing"),
        ("x is null or true", "left over"),
    ],
)
def test_refused(text: str, hint: str) -> None:
    with pytest.raises(InvalidCondition, match="cannot be read") as raised:
        parse_condition(text)
    assert hint in raised.value.detail


def test_several_are_joined_with_and() -> None:
    assert parse_conditions([]) is None
    assert parse_conditions(["a = 1"]) == (col("a") == "1")
    both = parse_conditions(["a = 1", "b is null"])
    assert both == And(terms=(col("a") == "1", col("b").is_null()))


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
COLUMNS = TEXTS.filter(bool).map(col)
LISTS = st.lists(TEXTS, max_size=3)
LEAVES: st.SearchStrategy[Predicate] = st.one_of(
    st.builds(Column.__eq__, COLUMNS, TEXTS),
    st.builds(Column.__ge__, COLUMNS, TEXTS),
    st.builds(Column.like, COLUMNS, TEXTS),
    st.builds(Column.in_, COLUMNS, LISTS),
    st.builds(Column.not_in, COLUMNS, LISTS),
    st.builds(Column.between, COLUMNS, TEXTS, TEXTS),
    st.builds(Column.is_null, COLUMNS),
    st.builds(Column.is_not_null, COLUMNS),
)


@given(LEAVES)
def test_what_is_worded_can_be_typed(predicate: Predicate) -> None:
    assert parse_condition(predicate_text(predicate)) == predicate


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_condition(text)
    except InvalidCondition:
        return
