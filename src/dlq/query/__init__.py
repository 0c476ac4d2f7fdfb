"""The filter language: which dead letters, said the same way in API, CLI and policies; pure.

`parse` reads what people type (`docs/filters.md`), `where` takes values that a program has;
both give a `Filter`, which the ledger turns into SQL. `searchable` is the text that free-text
terms are looked for in, `value_at` the value at a dotted path in a message.
"""

from dlq.query.errors import FilterError
from dlq.query.fields import Operator
from dlq.query.filter import Filter, where
from dlq.query.grammar import parse
from dlq.query.paths import check_path, value_at
from dlq.query.search import searchable
from dlq.query.terms import AnyOf, Compare, Contains, Term
from dlq.query.values import MAX_CHARS, states_named

__all__ = [
    "MAX_CHARS",
    "AnyOf",
    "Compare",
    "Contains",
    "Filter",
    "FilterError",
    "Operator",
    "Term",
    "check_path",
    "parse",
    "searchable",
    "states_named",
    "value_at",
    "where",
]
