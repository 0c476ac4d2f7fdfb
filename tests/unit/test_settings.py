from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlq.errors import SettingsError
from dlq.settings import Settings, variable_of, without_password


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("DLQ_", "RABBITMQ_")):
            monkeypatch.delenv(name)


def test_with_nothing_set_the_shape_is_embedded() -> None:
    settings = Settings.load()
    assert settings.amqp_url is None
    assert (settings.host, settings.port) == ("127.0.0.1", 8024)
    assert settings.resolved_ledger_url.startswith("sqlite:///")


def test_variables_have_the_prefix_and_rabbitmqs_keep_their_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DLQ_PORT", "9000")
    monkeypatch.setenv("RABBITMQ_HOST", "broker")
    monkeypatch.setenv("RABBITMQ_USER", "me@here")
    monkeypatch.setenv("RABBITMQ_PASS", "p/s:s@")
    monkeypatch.setenv("RABBITMQ_VHOST", "/")
    settings = Settings.load()
    assert settings.port == 9000
    assert settings.amqp_url == "amqp://me%40here:p%2Fs%3As%40@broker:5672/%2F"
    assert variable_of("port") == "DLQ_PORT"
    assert variable_of("rabbitmq_host") == "RABBITMQ_HOST"


def test_the_broker_defaults_are_those_of_the_contract() -> None:
    settings = Settings.load(rabbitmq_host="::1")
    assert settings.amqp_url == "amqp://musicdb:rabbitmq_secure_pass_2024@[::1]:5672/musicdb"


def test_the_broker_url_wins_over_the_single_variables() -> None:
    settings = Settings.load(rabbitmq_host="other", broker_url="amqps://u:p@h:5671/v")
    assert settings.amqp_url == "amqps://u:p@h:5671/v"


def test_an_empty_variable_is_as_if_it_were_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_HOST", "")
    monkeypatch.setenv("DLQ_PORT", "")
    settings = Settings.load()
    assert (settings.amqp_url, settings.port) == (None, 8024)


def test_overrides_win_and_none_means_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLQ_PORT", "9000")
    assert Settings.load(port=9001).port == 9001
    assert Settings.load(port=None).port == 9000


def test_allowed_hosts_are_parted_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLQ_ALLOWED_HOSTS", "a.example, b.example,,")
    assert Settings.load().allowed_hosts == ("a.example", "b.example")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("DLQ_PORT", "70000", "DLQ_PORT: Input should be less than or equal to 65535"),
        ("DLQ_PORT", "many", "DLQ_PORT: Input should be a valid integer"),
        ("RABBITMQ_PORT", "0", "RABBITMQ_PORT: "),
        ("DLQ_URL", "ftp://h", "DLQ_URL: expected http://host:port"),
        ("DLQ_BROKER_URL", "http://h", "DLQ_BROKER_URL: expected amqp://user:pass@host"),
        ("DLQ_LEDGER_URL", "mysql://h/d", "DLQ_LEDGER_URL: expected sqlite:///path"),
        ("DLQ_LOG_LEVEL", "loud", "DLQ_LOG_LEVEL: "),
        ("DLQ_FLOOD_RATIO", "1.5", "DLQ_FLOOD_RATIO: "),
        ("DLQ_REPLAY_CONCURRENCY", "0", "DLQ_REPLAY_CONCURRENCY: "),
    ],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    assert expected in str(refused.value)


def test_all_bad_values_are_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"DLQ_PORT.*DLQ_HEARTBEAT_S"):
        Settings.load(port=-1, heartbeat_s=0)


def test_secrets_show_neither_in_errors_nor_in_print() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load(broker_url="http://u:hunter2@h", ledger_url="mysql://u:hunter2@h/d")
    assert "hunter2" not in str(refused.value)
    shown = repr(Settings.load(broker_url="amqp://u:hunter2@h", token="hunter2"))
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://u:p@h:5672/v", "amqp://u@h:5672/v"),
        ("amqp://u:p@[::1]:5672/v", "amqp://u@[::1]:5672/v"),
        ("postgresql://h/d?password=p", "postgresql://h/d"),
        ("redis://:p@h", "redis://h"),
        ("sqlite:////var/lib/ledger.sqlite?key=p", "sqlite:////var/lib/ledger.sqlite"),
        ("http://h:8024", "http://h:8024"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


PART = st.text(alphabet="abcXYZ019._~!$*+,;=-", min_size=1, max_size=12)


@given(PART, PART.map(lambda text: f"SECRET{text}"))
def test_no_password_survives_being_shown(user: str, password: str) -> None:
    assert password not in without_password(f"amqp://{user}:{password}@broker:5672/v")


def test_settings_cannot_be_changed_after_they_were_read() -> None:
    with pytest.raises(Exception, match="frozen"):
        Settings.load().port = 1  # type: ignore[misc]


def test_every_setting_says_what_it_means() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no description"
