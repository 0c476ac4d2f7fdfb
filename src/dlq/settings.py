"""One table of settings for client, manager, worker and CLI.

Each field is one environment variable: `DLQ_` and the field's name in capitals, except the
`RABBITMQ_*` five, which keep the pipeline's names. Read once, when a `Settings` is made;
nothing is read at import. `docs/settings.md` is generated from this table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from dlq.errors import InvalidInput, SettingsError
from dlq.keeping import RetentionRules, parse_keep
from dlq.pace import EVERY_OTHER, Limits, parse_limits

DAY_MS = 24 * 60 * 60 * 1000
DAY_S = 24 * 60 * 60
MIB = 1024 * 1024
NAME = "songnodes-dlq"
DEFAULT_PROVIDER_LIMITS = (
    "spotify=10/s:10,musicbrainz=1/s,lastfm=5/s:5,audio_analysis=2/s:2,*=10/s:10"
)


def _rabbitmq(default: Any, name: str, description: str, **rules: Any) -> Any:
    return Field(default, validation_alias=f"RABBITMQ_{name}", description=description, **rules)


class Settings(BaseSettings):
    """Every setting, with its default, bound and meaning."""

    model_config = SettingsConfigDict(
        env_prefix="DLQ_",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        populate_by_name=True,
        env_ignore_empty=True,
    )

    # --- where things are ---
    host: str = Field("127.0.0.1", description="Address the manager listens on.")
    port: int = Field(8024, ge=0, le=65535, description="Port the manager listens on.")
    url: str = Field(
        "http://127.0.0.1:8024", description="Where client, worker and CLI find the manager."
    )
    token: SecretStr | None = Field(
        None, description="Bearer token that client, worker and CLI show to the manager."
    )
    ledger_url: str | None = Field(
        None,
        description="The ledger: sqlite:///path or postgresql://user:pass@host/name. "
        "Default: an SQLite file in the user's data folder.",
    )
    broker_url: SecretStr | None = Field(
        None,
        description="amqp(s)://user:pass@host:port/vhost. Wins over RABBITMQ_*. "
        "With neither, the embedded shape: no broker, the ledger is the queue.",
    )
    rabbitmq_host: str | None = _rabbitmq(
        None, "HOST", "Broker host. Setting it chooses the broker shape."
    )
    rabbitmq_port: int = _rabbitmq(5672, "PORT", "Broker port.", ge=1, le=65535)
    rabbitmq_user: str = _rabbitmq("musicdb", "USER", "Broker user.")
    rabbitmq_pass: SecretStr = _rabbitmq(
        SecretStr("rabbitmq_secure_pass_2024"), "PASS", "Broker password. Change it."
    )
    rabbitmq_vhost: str = _rabbitmq("musicdb", "VHOST", "Broker virtual host.")

    # --- topology ---
    exchange: str = Field("enrichment.dlq.exchange", description="Topic exchange.")
    main_queue: str = Field("enrichment.dlq.queue", description="Main queue, the inbox.")
    retry_queue: str = Field("enrichment.dlq.retry", description="Retry queue, replays.")
    analysis_queue: str = Field("enrichment.dlq.analysis", description="Analysis queue, a tap.")
    outcomes_queue: str = Field("enrichment.dlq.outcomes", description="What workers report.")
    main_ttl_ms: int = Field(30 * DAY_MS, gt=0, description="Time in the main queue.")
    retry_ttl_ms: int = Field(DAY_MS, gt=0, description="Time in the retry queue.")
    analysis_ttl_ms: int = Field(7 * DAY_MS, gt=0, description="Time in the analysis queue.")
    outcomes_ttl_ms: int = Field(7 * DAY_MS, gt=0, description="Time in the outcomes queue.")
    main_max_length: int = Field(100_000, gt=0, description="Main queue: then drop oldest.")
    retry_max_length: int = Field(10_000, gt=0, description="Retry queue: then refuse.")
    analysis_max_length: int = Field(50_000, gt=0, description="Analysis queue: then drop oldest.")

    # --- transport ---
    confirm_timeout_s: float = Field(
        5.0, gt=0, le=300, description="Longest wait for a confirm; the longest a call blocks."
    )
    publish_window: int = Field(500, ge=1, le=10_000, description="Unconfirmed publishes at once.")
    heartbeat_s: int = Field(30, ge=5, le=600, description="AMQP heartbeat.")
    reconnect_max_s: float = Field(
        15.0, gt=0, le=600, description="Longest pause between attempts to reconnect."
    )
    max_body_bytes: int = Field(
        15 * MIB, ge=1024, le=128 * MIB, description="Largest message body that is sent or taken."
    )

    # --- spool (client side) ---
    spool_dir: Path = Field(
        default_factory=lambda: platformdirs.user_state_path(NAME),
        description="Folder of this host's spool, shared by its processes.",
    )
    spool_max_bytes: int = Field(256 * MIB, ge=4096, description="Bound of the spool in bytes.")

    # --- flood limit (client side) ---
    flood_window_s: float = Field(60.0, gt=0, description="Window over which failures count.")
    flood_count: int = Field(
        1000, ge=1, description="Failures in the window from which a flood is called."
    )
    flood_ratio: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of failures among all operations in the window, where successes "
        "are known, from which a flood is called (with flood_count reached).",
    )

    # --- manager ---
    ingest_batch: int = Field(500, ge=1, le=5000, description="Most messages in one commit.")
    prefetch: int = Field(500, ge=1, le=2000, description="Deliveries the manager holds unacked.")
    replay_concurrency: int = Field(
        5,
        ge=1,
        le=100,
        description="Replays at once: in a batch, of one job, and of what one provider's "
        "schedule sends by itself.",
    )
    replay_slot_s: float = Field(
        60.0,
        gt=0,
        description="How long a replay without an outcome counts as one of those, since a "
        "consumer may never report.",
    )
    provider_limits: str = Field(
        "",
        description="What providers allow, and bursts: spotify=10/s:20,musicbrainz=1/s. "
        "`*` is every other. Added to the defaults: "
        f"{DEFAULT_PROVIDER_LIMITS}.",
    )
    pace_headroom: float = Field(
        0.1, ge=0, lt=1, description="Share of each provider's limit that is left unused."
    )
    replay_targets: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Routing keys (comma separated) that a job may name instead of the retry "
        "queue of each dead letter's own type.",
    )
    canary_wait_s: float = Field(
        900.0, gt=0, description="How long a job waits for the outcomes of its canary."
    )
    rules_file: Path | None = Field(
        None,
        description="Classification rules (TOML) of the installation, asked before the shipped "
        "ones; for manager and client.",
    )
    fingerprinter: str = Field(
        "",
        description="A function package.module:function that names causes itself, see "
        "docs/fingerprints.md.",
    )
    auto_retry: bool = Field(
        True, description="Replay by itself what the retry policies say, once a worker is there."
    )
    policies_file: Path | None = Field(
        None, description="Retry policies (YAML). Default: the ones that are shipped."
    )
    circuit_failures: int = Field(
        5, ge=1, description="Replays of a provider that fail in a row until its circuit opens."
    )
    circuit_cooldown_s: float = Field(
        60.0, gt=0, description="Until the first probe; doubles with each that fails, to an hour."
    )
    replay_budget: int = Field(
        6, ge=1, description="Failed replays after which a dead letter is parked."
    )
    replay_grace_s: float = Field(
        3600.0, ge=0, description="Beyond the retry TTL, until a silent replay comes back."
    )
    sweep_interval_s: float = Field(5.0, gt=0, description="Pause between sweeps.")
    retention_dlq: str = Field(
        "30d",
        description="How long dead letters stay in the DLQ, from their arrival: 30d, or with spans "
        "of single categories 30d,rate_limit=14d,bug=off. off: for ever.",
    )
    retention_resolved: str = Field(
        "7d", description="How long resolved ones are kept, written in the same way."
    )
    retention_history: str = Field(
        "90d",
        description="How long the history of emptied dead letters, jobs that are over and the "
        "audit are kept, written in the same way.",
    )
    retention_warn_days: float = Field(
        7.0,
        ge=0,
        le=3650,
        description="Warn when dead letters are about to be lost, by age or by the length of the "
        "main queue, within so many days.",
    )
    retention_grace_s: float = Field(
        600.0,
        ge=0,
        le=7 * DAY_S,
        description="How long a manager lets nothing go after its start, so that its warning can "
        "be read first.",
    )
    keeper_interval_s: float = Field(
        60.0, gt=0, le=86_400, description="Pause between rounds of retention and upkeep."
    )
    lease_ttl_s: float = Field(
        60.0, ge=1, le=3600, description="How long a worker over HTTP holds a lease."
    )
    tokens_file: Path = Field(
        default_factory=lambda: platformdirs.user_config_path(NAME) / "tokens.json",
        description="Hashed bearer tokens; written by `dlq token create`.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="More names (comma separated) under which the manager answers; loopback "
        "names and DLQ_HOST are always allowed.",
    )
    insecure: bool = Field(
        False, description="Serve beyond loopback without any token. Logged loudly."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level that is logged."
    )

    @field_validator("provider_limits")
    @classmethod
    def _readable_limits(cls, value: str) -> str:
        try:
            parse_limits(value)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("retention_dlq", "retention_resolved", "retention_history")
    @classmethod
    def _readable_spans(cls, value: str) -> str:
        try:
            parse_keep(value)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("allowed_hosts", "replay_targets", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("url")
    @classmethod
    def _http_url(cls, value: str) -> str:
        if not _is_url(value, "http", "https"):
            raise ValueError("expected http://host:port or https://host:port")
        return value.rstrip("/")

    @field_validator("broker_url")
    @classmethod
    def _amqp_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_url(value.get_secret_value(), "amqp", "amqps"):
            raise ValueError(
                "expected amqp://user:pass@host:port/vhost or amqps://…, with what is special "
                "in a password percent-encoded"
            )
        return value

    @field_validator("ledger_url")
    @classmethod
    def _known_ledger(cls, value: str | None) -> str | None:
        known = ("sqlite", "postgresql", "postgres")
        if value is not None and value.partition(":")[0].partition("+")[0] not in known:
            raise ValueError("expected sqlite:///path or postgresql://user:pass@host/name")
        return value

    @field_validator("token")
    @classmethod
    def _header_value(cls, value: SecretStr | None) -> SecretStr | None:
        secret = value.get_secret_value().strip() if value is not None else ""
        if not all("!" <= character <= "~" for character in secret):
            raise ValueError("expected what `dlq token create` printed: visible ASCII, no spaces")
        return SecretStr(secret) if secret else None

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the environment; `overrides` (None means "not given") win.

        Raises:
            SettingsError: names each variable that cannot be used, and what was expected.
        """
        given = {name: value for name, value in overrides.items() if value is not None}
        try:
            return cls(**given)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None

    @property
    def amqp_url(self) -> str | None:
        """The broker with its password, or None in the embedded shape. Never log it."""
        if self.broker_url is not None:
            return self.broker_url.get_secret_value()
        if self.rabbitmq_host is None:
            return None
        user = quote(self.rabbitmq_user, safe="")
        password = quote(self.rabbitmq_pass.get_secret_value(), safe="")
        host = f"[{self.rabbitmq_host}]" if ":" in self.rabbitmq_host else self.rabbitmq_host
        vhost = quote(self.rabbitmq_vhost, safe="")
        return f"amqp://{user}:{password}@{host}:{self.rabbitmq_port}/{vhost}"

    @property
    def limits(self) -> Limits:
        """What each provider allows: what is set, over the defaults."""
        named = parse_limits(DEFAULT_PROVIDER_LIMITS) | parse_limits(self.provider_limits)
        others = named.pop(EVERY_OTHER)
        return Limits(named, others, headroom=self.pace_headroom)

    @property
    def retention(self) -> RetentionRules:
        """How long things are kept."""
        return RetentionRules(
            dlq=parse_keep(self.retention_dlq),
            resolved=parse_keep(self.retention_resolved),
            history=parse_keep(self.retention_history),
        )

    @property
    def resolved_ledger_url(self) -> str:
        """The ledger's URL, with its password if it has one. Never log it."""
        if self.ledger_url is not None:
            return self.ledger_url
        return f"sqlite:///{platformdirs.user_data_path(NAME) / 'ledger.sqlite'}"


def _is_url(text: str, *schemes: str) -> bool:
    """Whether it is a URL of one of these schemes with a host, and a port that can be."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def without_password(url: str) -> str:
    """`url` as it may be logged or shown: user kept, password and query gone."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, f":{parts.port}" if parts.port else ""
    except ValueError:  # whose own words would show a part of the password
        return f"{url.partition(':')[0]}://…"
    if host is None:
        return url.partition("?")[0]  # sqlite:///path
    host = f"[{host}]" if ":" in host else host
    user = f"{parts.username}@" if parts.username else ""
    return urlunsplit((parts.scheme, f"{user}{host}{port}", parts.path, "", ""))


def variable_of(field_name: str) -> str:
    """The environment variable behind a field."""
    alias = Settings.model_fields[field_name].validation_alias
    return alias if isinstance(alias, str) else f"DLQ_{field_name.upper()}"


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        name = str(problem["loc"][0]) if problem["loc"] else "settings"
        if name in Settings.model_fields:
            name = variable_of(name)
        lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}")
    return "Invalid settings. " + "; ".join(lines) + ". `docs/settings.md` lists them all."
