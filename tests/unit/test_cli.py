"""The command line without a manager: help, usage, loading of handlers, tokens, topology."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from rich.cells import cell_len, set_cell_size

from dlq.cli import main, options
from dlq.cli.app import app
from dlq.cli.output import confirmed
from dlq.cli.replay import check_choice
from dlq.cli.where import Where
from dlq.cli.worker import load
from dlq.client.spool import Addressed, Spool
from dlq.demo.local_server import Answer, LocalServer, Request
from dlq.errors import InvalidInput
from dlq.message import WireMessage
from dlq.settings import Settings

HEAVY = ("sqlalchemy", "fastapi", "scrapy", "uvicorn", "pika", "httpx2", "pydantic")


def run(*arguments: str) -> int:
    """Returns: the exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom dlq.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n"
        f"    print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "[]"


def test_help_tells_first_steps_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert "dlq demo --exit" in shown
    for line in ("0  all done", "3  the manager, the broker", "5  refused"):
        assert line in shown


@pytest.mark.parametrize(
    "command",
    [
        *(
            "list",
            "show",
            "stats",
            "groups",
            "export",
            "replay",
            "edit",
            "delete",
            "publish",
            "serve",
        ),
        *("worker", "demo", "doctor", "spool", "spool flush", "token create", "token revoke"),
        *("topology show", "topology apply", "jobs", "jobs show", "jobs follow", "jobs pause"),
        *("jobs resume", "jobs cancel", "jobs repeat", "providers", "providers mended"),
        *("policy check", "policy show", "policy rehearse"),
        *("purge", "regroup", "backup", "restore", "rebuild", "groups show", "groups merge"),
        *("groups split", "groups note", "groups mute", "groups category", "groups fixed"),
    ],
)
def test_each_command_teaches_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*command.split(), "--help") == 0
    shown = capsys.readouterr().out
    assert "Example" in shown
    assert f"dlq {command.split(maxsplit=1)[0]}" in shown


def test_usage_errors_exit_2_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list", "--limit", "0") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_unusable_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DLQ_URL", "ftp://x")
    assert run("list") == 2
    assert "DLQ_URL: expected http://host:port" in capsys.readouterr().err


def test_a_manager_that_does_not_answer_exits_3_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DLQ_URL", "http://127.0.0.1:9")
    assert run("stats") == 3
    assert (
        "The manager at http://127.0.0.1:9 does not answer (ConnectError). Is it running? "
        "Start it with `dlq serve`, or set DLQ_URL." in capsys.readouterr().err
    )


@pytest.mark.parametrize("item", ["{", "not json"])
def test_publish_refuses_what_is_not_json(item: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("publish", item, "--error", "x") == 2
    assert "the item is not JSON" in capsys.readouterr().err


# --- --json ------------------------------------------------------------------------------

LONG_RUNNING = {"dlq serve", "dlq worker", "dlq demo"}


def commands(group: typer.core.TyperGroup, path: str = "dlq") -> Iterator[tuple[str, set[str]]]:
    """Each command with its options."""
    for name, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", {o for param in command.params for o in param.opts}


def test_every_command_that_comes_to_an_end_takes_json() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    found = dict(commands(group))
    assert "dlq spool readdress" in found
    assert {name for name, options in found.items() if "--json" not in options} == LONG_RUNNING


LETTERS = ['{"message_id": "a", "error_message": "<\\u001b[2J>"}', '{"message_id": "b"}']


class Exports(LocalServer):
    """A manager that knows how to export two dead letters."""

    def answer(self, request: Request) -> Answer:
        assert request.path == "/dlq/export"
        body = "".join(f"{line}\n" for line in LETTERS).encode()
        return Answer(200, body, "application/x-ndjson", {"X-Total-Count": "2"})


def test_an_export_is_the_same_with_and_without_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "failures.jsonl"
    with Exports() as manager:
        manager.start()
        monkeypatch.setenv("DLQ_URL", manager.url)
        for options in ([], ["--json"]):
            assert run("export", *options) == 0
            shown = capsys.readouterr()
            assert shown.out.splitlines() == LETTERS
            assert shown.err == "Exported 2.\n"
            assert run("export", "--force", "--output", str(target), *options) == 0
            assert capsys.readouterr().out == ""
            assert target.read_text().splitlines() == LETTERS


def spooled(count: int) -> str:
    """Put letters for a broker that is no more into the spool. Returns: its destination."""
    destination = "amqp://app@old:5672/musicdb"
    spool = Spool(Settings.load())
    wires = [WireMessage(b"{}", "x.enrichment.failed", {}, {}) for _ in range(count)]
    assert all(spool.append([Addressed(destination, wire) for wire in wires]))
    spool.close()
    return destination


def test_readdressing_tells_how_many_in_words_and_as_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = spooled(2)
    assert run("spool", "readdress", old, "amqp://app@new:5672/musicdb", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"readdressed": 2}
    assert run("spool", "readdress", old, "amqp://app@new:5672/musicdb", "--yes") == 0
    assert capsys.readouterr().out == "Readdressed: 0\n"
    assert run("spool", "--json") == 0
    [there] = json.loads(capsys.readouterr().out)
    assert (there["destination"], there["waiting"]) == ("amqp://app@new:5672/musicdb", 2)


def test_json_does_not_stand_for_yes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("spool", "readdress", spooled(1), "amqp://app@new:5672/musicdb", "--json") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "pass --yes" in shown.err


# --- choosing ----------------------------------------------------------------------------


def test_all_options_together_are_one_filter() -> None:
    chosen = options.where(
        [options.StateName.ALL], "spotify", "auth", "3f1c0a9be2d47a55", "api", "age>1h denied"
    )
    by_name = "state:all category:auth error_type:spotify group:3f1c0a9be2d47a55 service:api"
    assert chosen.params() == [("where", f"{by_name} age>1h denied")]
    assert options.where(text="").params() == []


@pytest.mark.parametrize(
    ("text", "shown", "under"),
    [
        ("age>1h categry:auth", "age>1h categry:auth", "c"),
        ("🎧🎧 e\u0301 categry:auth", "🎧🎧 e\u0301 categry:auth", "c"),
        ("\x1b[2J categry:auth", "\\x1b[2J categry:auth", "c"),
        ("a-word " * 20 + "x:y " + "b " * 40, "… ", "x"),
        ('service:"', 'service:"', '"'),
    ],
)
def test_what_is_wrong_with_a_filter_is_shown_under_it(text: str, shown: str, under: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        options.where(text=text)
    said, line, caret = str(refused.value).split("\n")
    assert "at character" in said
    assert shown.strip() in line
    assert set_cell_size(line, len(caret) - 1) + under in line
    assert cell_len(line) < 90


@pytest.mark.parametrize("command", [("list",), ("export",), ("delete", "--yes"), ("replay",)])
def test_a_filter_is_read_before_any_manager_is_asked(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*command, "--where", "category:rate_limt") == 2
    error, line, caret = capsys.readouterr().err.splitlines()
    assert error.startswith("Error: The filter cannot be read at character 10: expected one of")
    assert error.endswith("Did you mean rate_limit?")
    assert (line, caret) == ("  category:rate_limt", "           ^")


# --- choosing what to replay -------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "everything", "where"),
    [
        ([], False, options.where()),
        (["a"], True, options.where()),
        (["a"], False, options.where(error_type="spotify")),
        ([], True, options.where([options.StateName.PARKED])),
    ],
)
def test_replay_wants_ids_or_all_or_a_filter(
    ids: list[str], everything: bool, where: Where
) -> None:
    with pytest.raises(InvalidInput, match="one of the three"):
        check_choice(ids, everything, where)


@pytest.mark.parametrize(
    ("ids", "everything", "where"),
    [
        (["a"], False, options.where()),
        ([], True, options.where()),
        ([], False, options.where(text="group:3f1c")),
    ],
)
def test_each_of_the_three_alone_is_enough(ids: list[str], everything: bool, where: Where) -> None:
    check_choice(ids, everything, where)


def test_without_a_terminal_nobody_is_asked() -> None:
    assert confirmed("Delete?", yes=True)
    with pytest.raises(InvalidInput, match=r"Delete\? .*pass --yes"):
        confirmed("Delete?", yes=False)


# --- handlers ----------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_a_handler_is_found_from_the_current_folder(here: Path) -> None:
    (here / "handlers_found.py").write_text("class Box:\n    @staticmethod\n    def run(m): ...\n")
    assert callable(load("handlers_found:Box.run"))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("pipeline", "Expected MODULE:NAME"),
        ("no_such_module_x:run", "there is no module no_such_module_x"),
        ("handlers_broken:run", "raised ZeroDivisionError"),
        ("handlers_empty:run", "handlers_empty has no 'run'"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_words(here: Path, target: str, said: str) -> None:
    (here / "handlers_broken.py").write_text("1 / 0\n")
    (here / "handlers_empty.py").write_text("")
    with pytest.raises(InvalidInput, match=said):
        load(target)


def test_a_worker_target_that_is_no_handler_exits_2(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "handlers_number.py").write_text("handle = 3\nmany = {'spotify': print}\n")
    assert run("worker", "handlers_number:handle") == 2
    assert "is a int; expected a function" in capsys.readouterr().err
    assert run("worker", "handlers_number:many", "--error-type", "lastfm") == 2
    assert "has no handler for: lastfm" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [("--concurrency", "1"), ("--name", "w"), ("--error-type", "x"), ("--max-attempts", "5")],
)
def test_what_a_retry_worker_settles_itself_is_refused_as_an_option(
    option: tuple[str, str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "handlers_worker.py").write_text(
        "from dlq.worker import RetryWorker\nworker = RetryWorker(default=print)\n"
    )
    assert run("worker", "handlers_worker:worker", "--drain", "1", *option) == 2
    said = capsys.readouterr().err
    assert "handlers_worker:worker is a RetryWorker" in said
    assert option[0] in said


# --- tokens and topology -----------------------------------------------------------------


def test_tokens_are_made_listed_and_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("token", "create", "--name", "me", "--role", "admin") == 0
    token = capsys.readouterr().out.strip()
    assert token.startswith("dlq_")
    assert run("token", "list", "--json") == 0
    listed = capsys.readouterr().out
    assert [(t["name"], t["role"]) for t in json.loads(listed)] == [("me", "admin")]
    assert token not in listed
    assert run("token", "revoke", "me") == 0
    assert capsys.readouterr().out == "Revoked me.\n"
    assert run("token", "revoke", "me") == 4


def test_a_revoked_token_is_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("token", "create", "--name", "me") == 0
    capsys.readouterr()
    assert run("token", "revoke", "me", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"name": "me", "revoked": True}
    assert run("token", "revoke", "me", "--json") == 4
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "There is no token named 'me'" in shown.err


def test_topology_shows_the_specified_queues(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("topology", "show", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["exchange"] == "enrichment.dlq.exchange"
    assert [q["name"] for q in shown["queues"]][:2] == [
        "enrichment.dlq.queue",
        "enrichment.dlq.retry",
    ]


def test_topology_apply_without_a_broker_says_how_to_set_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("topology", "apply") == 2
    assert "Set DLQ_BROKER_URL or RABBITMQ_HOST" in capsys.readouterr().err
