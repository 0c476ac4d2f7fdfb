"""The filter language: which dead letters, said the same way in API, CLI and policies; pure.

`parse` reads what people type (`docs/filters.md`), `where` takes values that a program has;
both give a `Filter`. The ledger turns its `column_terms` into SQL; for its `text_terms` it finds
candidates by their words (`words_of`, `trace_words`, `Searchable.own_words`), rules out most that
do not match by a `Glimpse` of their bytes, and lets `Searchable.matches` decide. `value_at` is the
value at a dotted path in a message.
"""

from dlq.query.errors import FilterError
from dlq.query.fields import MARKS, Operator
from dlq.query.filter import Filter, where
from dlq.query.glimpse import Glimpse
from dlq.query.grammar import parse
from dlq.query.paths import check_path, value_at
from dlq.query.search import Searchable, trace_words
from dlq.query.terms import AnyOf, AtPath, Compare, CompareAt, Contains, Term, TextTerm
from dlq.query.values import MAX_CHARS, states_named
from dlq.query.words import MAX_WORD_CHARS, fold, words_of

__all__ = [
    "MARKS",
    "MAX_CHARS",
    "MAX_WORD_CHARS",
    "AnyOf",
    "AtPath",
    "Compare",
    "CompareAt",
    "Contains",
    "Filter",
    "FilterError",
    "Glimpse",
    "Operator",
    "Searchable",
    "Term",
    "TextTerm",
    "check_path",
    "fold",
    "parse",
    "states_named",
    "trace_words",
    "value_at",
    "where",
    "words_of",
]
