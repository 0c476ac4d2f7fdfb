"""Retry policies: whether, and when, a dead letter is replayed by itself; pure.

A YAML file (`defaults.yml` is the shipped one) is read with the places of its parts
(`source.py`), checked against its form (`form.py`) and told what is wrong by line
(`problems.py`). The rules then decide for one dead letter at a time (`policies.py`), within
windows of the wall clock (`windows.py`), and can be tried on the past (`rehearsal.py`).
"""

from dlq.policy.decision import Decision, Facts, Kind
from dlq.policy.policies import Policies
from dlq.policy.problems import PolicyError
from dlq.policy.reading import default_text, load_policies, read_policies
from dlq.policy.rehearsal import Past, PastReplay, Rehearsal, rehearse

__all__ = [
    "Decision",
    "Facts",
    "Kind",
    "Past",
    "PastReplay",
    "Policies",
    "PolicyError",
    "Rehearsal",
    "default_text",
    "load_policies",
    "read_policies",
    "rehearse",
]
