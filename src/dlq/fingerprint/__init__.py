"""The identity of a cause, and a title by which people know it.

Ten thousand dead letters are a handful of causes. `cause.py` says what makes two one cause;
the code path is found in `path.py` (of other languages in `foreign.py`), what tells apart two
failures on one path in `reason.py` (with `raised_text.py` and `item_values.py`), the title in
`title.py`. An installation's own function is called by `plugin.py`. docs/fingerprints.md has
the rules in prose.
"""

from dlq.fingerprint.cause import ALGORITHM_VERSION, Cause, cause_of
from dlq.fingerprint.plugin import Fingerprinter, load_fingerprinter, use_fingerprinter

__all__ = [
    "ALGORITHM_VERSION",
    "Cause",
    "Fingerprinter",
    "cause_of",
    "load_fingerprinter",
    "use_fingerprinter",
]
