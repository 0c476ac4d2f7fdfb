"""Every exception of the project: one tree, rooted at `DLQError`.

Each class carries a stable `code` (for programs: API answers, `--json`, logs); the text
is for people and says what was expected, what came, and what to do next. Driver errors
(pika, SQLAlchemy, httpx2, sqlite3) are translated into these at the edge, with `from`.
"""

from __future__ import annotations


class DLQError(Exception):
    """Something in the dead-letter queue went wrong."""

    code = "dlq_error"


class SettingsError(DLQError):
    """A setting has a value that cannot be used."""

    code = "invalid_settings"


class InvalidInput(DLQError):
    """The caller's input is not what was asked for; nothing was changed."""

    code = "invalid_input"


# --- transport ---------------------------------------------------------------------------


class TransportError(DLQError):
    """A message could not be handed over; it is not known to be safe on the other side."""

    code = "transport_error"


class BrokerUnavailable(TransportError):
    """The other side cannot be reached, or went away before it confirmed."""

    code = "broker_unavailable"


class ConfirmTimeout(TransportError):
    """No confirmation in time. The message may or may not have arrived: send it again
    under the same `message_id`."""

    code = "confirm_timeout"


class PublishNacked(TransportError):
    """The broker refused the message (a full queue with `reject-publish`, or a fault)."""

    code = "publish_nacked"


class PublishReturned(TransportError):
    """The broker has no queue bound for this routing key."""

    code = "publish_returned"


class PublishRejected(TransportError):
    """The other side will never accept this message as it is (too large, not authorised)."""

    code = "publish_rejected"


class TopologyError(DLQError):
    """The broker's exchange or queues cannot be used as they are."""

    code = "topology_unusable"


# --- spool -------------------------------------------------------------------------------


class SpoolError(DLQError):
    """The spool on this host cannot take or give messages."""

    code = "spool_error"


class SpoolFull(SpoolError):
    """The spool has reached its bound in bytes; nothing was evicted."""

    code = "spool_full"


# --- ledger ------------------------------------------------------------------------------


class LedgerError(DLQError):
    """The ledger refused or failed an operation."""

    code = "ledger_error"


class LedgerUnavailable(LedgerError):
    """The ledger's database cannot be reached or written; nothing was changed."""

    code = "ledger_unavailable"


class NotFound(LedgerError):
    """There is no such dead letter, replay or lease."""

    code = "not_found"


class IllegalTransition(LedgerError):
    """The dead letter is in a state from which this is not allowed; nothing was changed."""

    code = "illegal_state"
