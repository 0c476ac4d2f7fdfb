"""Which provider failed, and what kind of failure it was; pure, never raises.

Evidence is collected from an exception (`raised.py`) or from the texts that are left of one
(`tracebacks.py`, `told.py`, `evidence.py`), weighed (`findings.py`) by rules that are data
(`rules.toml`, read by `ruleset.py`), named (`diagnosis.py`) and put into words (`reasons.py`).
"""

from dlq.classify.diagnosis import Diagnosis, diagnose, diagnose_text, explain
from dlq.classify.rules import CATEGORIES, Category
from dlq.classify.ruleset import Rules, load_rules, use_rules

__all__ = [
    "CATEGORIES",
    "Category",
    "Diagnosis",
    "Rules",
    "diagnose",
    "diagnose_text",
    "explain",
    "load_rules",
    "use_rules",
]
