"""Which provider failed, and what kind of failure it was; pure, never raises.

Evidence is collected from an exception (`raised.py`) or from the texts that are left of one
(`tracebacks.py`, `evidence.py`), weighed (`findings.py`) by rules that are data (`rules.py`),
and named (`diagnosis.py`).
"""

from dlq.classify.diagnosis import Diagnosis, diagnose, diagnose_text
from dlq.classify.rules import CATEGORIES, Category

__all__ = ["CATEGORIES", "Category", "Diagnosis", "diagnose", "diagnose_text"]
