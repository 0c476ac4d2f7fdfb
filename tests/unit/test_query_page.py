"""The page about filters: its fields are all, and its examples do what it says."""

from __future__ import annotations

import json
import re

import pytest

from dlq.cli.where import pointed
from dlq.message import DLQMessage
from dlq.query import FilterError, Searchable, parse
from dlq.query.fields import FIELDS
from tests.support.pages import blocks, read, table_rows

PAGE = "docs/filters.md"


def section(heading: str) -> str:
    return read(PAGE).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def in_code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def rows_of(heading: str) -> list[list[str]]:
    """The rows of the section's table, without its head."""
    return table_rows(section(heading))[1:]


def test_the_page_has_every_field_with_its_other_names_and_choices() -> None:
    documented = {
        in_code(row[0])[0]: (in_code(row[1]), in_code(row[2])) for row in rows_of("Fields")
    }
    assert list(documented) == [*(field.name for field in FIELDS), "payload.…", "metadata.…"]
    for field in FIELDS:
        also, taken = documented[field.name]
        assert tuple(also) == field.aliases
        assert set(field.choices) <= set(taken)
        assert not field.short_for or ".".join(field.short_for) in taken


def test_the_pages_examples_can_be_read() -> None:
    examples = read(PAGE).partition("## Terms")[0]
    filters = [in_code(row[0])[0] for row in table_rows(examples)[1:]]
    filters += re.findall(r"--where '(.*?)'", examples) + re.findall(r"'where=(.*?)'", examples)
    assert len(filters) >= 18
    for text in filters:
        assert not parse(text).is_empty


@pytest.mark.parametrize(
    ("text", "found"),
    [(in_code(row[0])[0], row[1]) for name in ("Paths", "Free text") for row in rows_of(name)],
)
def test_the_pages_dead_letter_is_found_or_not_as_it_says(text: str, found: str) -> None:
    [letter] = [block.text for block in blocks(PAGE, "json") if block.heading == "Paths"]
    searched = Searchable.of(DLQMessage(**json.loads(letter)), "Read timed out in enrich_track")
    terms = parse(text).text_terms
    holds = all(searched.matches(term) != term.negated for term in terms)
    assert terms
    assert found == ("yes" if holds else "no")


def test_what_the_page_says_is_refused_is_and_its_advice_is_not() -> None:
    for refused, instead, *_ in rows_of("Errors"):
        with pytest.raises(FilterError):
            parse(in_code(refused)[0])
        assert not parse(in_code(instead)[0]).is_empty


def test_the_pages_errors_are_what_is_answered() -> None:
    [shown] = [block.text for block in blocks(PAGE, "text")]
    text = shown.splitlines()[1].strip()
    with pytest.raises(FilterError) as refused:
        parse(text)
    assert shown == f"Error: {pointed(refused.value)}\n"

    [answer] = [block.text for block in blocks(PAGE, "json") if block.heading == "In the API"]
    with pytest.raises(FilterError) as refused:
        parse("category:rate_limt")
    assert json.loads(answer) == {"detail": str(refused.value), "code": refused.value.code}
