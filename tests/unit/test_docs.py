"""What the pages name exists, and what exists is on the page that should list it."""

from __future__ import annotations

import dataclasses
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from fastapi.testclient import TestClient
from typer.core import TyperGroup

from dlq.classify import Category
from dlq.cli.app import app
from dlq.client import Custody
from dlq.errors import DLQError, SettingsError, TransportError
from dlq.ledger.base import Disposition
from dlq.manager.api.problems import CODE_OF_STATUS, STATUS_OF
from dlq.manager.app import create_app
from dlq.manager.service import Manager
from dlq.manager.tokens import Role
from dlq.message import Form
from dlq.settings import Settings, variable_of
from dlq.states import DELETABLE, IN_DLQ, LEGAL_MOVES, Outcome, State
from scrapers.providers import ProviderConfig
from scripts.write_settings_page import page
from tests.support.pages import (
    PAGES,
    ROOT,
    anchors,
    blocks,
    inline_code,
    links,
    read,
    table_rows,
)

every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)

SETTINGS = {variable_of(name) for name in Settings.model_fields}
SCRAPY_ONLY = {"DLQ_FLUSH_TIMEOUT_S", "DLQ_CLOSE_SPIDER_ON_FLOOD"}

NEVER_ANSWERED = {
    SettingsError,  # stops the start
    TransportError,  # only its subclasses are raised where a request waits
}


# --- names -------------------------------------------------------------------------------


def test_the_settings_page_is_the_table_in_the_code() -> None:
    assert read("docs/settings.md") == page(), "write it anew: make docs"


@every_page
def test_every_variable_exists(path: Path) -> None:
    for name, more in re.findall(r"\b((?:DLQ|RABBITMQ)_[A-Z_]*)(\*?)", path.read_text("utf-8")):
        if more:
            assert any(setting.startswith(name) for setting in SETTINGS), f"{name}*"
        else:
            assert name in SETTINGS | SCRAPY_ONLY


@every_page
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in links(path.read_text("utf-8")):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.is_file(), link
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), link


@every_page
def test_every_path_of_the_repository_exists(path: Path) -> None:
    for code in inline_code(path.read_text("utf-8")):
        if re.fullmatch(r"(?:src|scrapers|services|scripts|tests|docs|benchmarks)/[\w./-]+", code):
            assert (ROOT / code).exists(), code


def test_every_page_is_found_from_the_readme() -> None:
    listed = {link for row in table_rows(read("README.md")) for link in links(row[0])}
    assert listed == {str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md")}


def test_the_clients_page_names_what_is_installed() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    text = read("docs/client.md")
    for requirement in project["dependencies"]:
        assert re.split(r"[^\w-]", requirement)[0] in text.replace("\n", " ")
    for extra in project["optional-dependencies"]:
        assert f"`{extra}`" in text


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    assert re.search(r"^## Unreleased$", read("CHANGELOG.md"), re.MULTILINE)


# --- commands ----------------------------------------------------------------------------


def commands_of(path: Path) -> Iterator[list[str]]:
    """Every `dlq …` of a page, without the `dlq`."""
    name = str(path.relative_to(ROOT))
    lines = [line for block in blocks(name, "bash") for line in block.text.splitlines()]
    for code in (*lines, *inline_code(read(name))):
        found = re.search(r"(?<!from )(?<![\w.])dlq ((?:[a-z]|--).*)", code)
        if found is not None:
            words = shlex.split(found[1].partition(";")[0], comments=True)
            yield [word.rstrip(",:") for word in words]


def check_command(words: list[str]) -> None:
    """The command exists, and so do its options."""
    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            assert command.invoke_without_command, f"there is no command {words}"
            break
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given <= known, f"{command.name} has no {given - known}"


@every_page
def test_every_command_and_option_exists(path: Path) -> None:
    for words in commands_of(path):
        check_command(words)


def test_the_pages_do_name_commands() -> None:
    named = {words[0] for path in PAGES for words in commands_of(path) if words}
    assert {"serve", "groups", "replay", "worker", "doctor", "spool", "token"} <= named


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    for path in PAGES:
        text = path.read_text("utf-8")
        lines = "\n".join(block.text for block in blocks(str(path.relative_to(ROOT)), "bash"))
        for code in (*lines.splitlines(), *inline_code(text)):
            if found := re.match(r"make ([a-z-]+)", code):
                assert found[1] in targets


# --- the API -----------------------------------------------------------------------------


def named_endpoints() -> set[str]:
    found = re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`? ]*)", read("docs/api.md"))
    return {name for name in found if "…" not in name}


def test_the_api_page_names_every_endpoint_and_no_other(tmp_path: Path) -> None:
    settings = Settings.load(ledger_url=f"sqlite:///{tmp_path / 'docs.sqlite'}")
    with TestClient(create_app(Manager(settings)), base_url=settings.url) as api:
        paths = api.get("/openapi.json").json()["paths"]
    there = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert named_endpoints() == there


def subclasses(kind: type[DLQError]) -> set[type[DLQError]]:
    return {kind}.union(*(subclasses(child) for child in kind.__subclasses__()))


def test_the_api_page_has_every_error_code_that_can_be_answered() -> None:
    kinds = {kind for parent, _ in STATUS_OF for kind in subclasses(parent)}
    ours = {
        kind.code for kind in kinds if kind.__module__.startswith(("dlq.errors", "dlq.manager"))
    }
    codes = (ours | set(CODE_OF_STATUS.values())) - {kind.code for kind in NEVER_ANSWERED}
    table = read("docs/api.md").partition("## Errors")[2].partition("\n## ")[0]
    named = {code for row in table_rows(table) for code in re.findall(r"`(\w+)`", row[1])}
    assert codes <= named


def test_the_api_page_has_every_role_and_disposition() -> None:
    rows = table_rows(read("docs/api.md"))
    assert {row[0] for row in rows} >= {role.value for role in Role}
    [ingested] = [row[1] for row in rows if row[0].startswith("`dlq_ingested_total")]
    assert set(re.findall(r"`(\w+)`", ingested)) == {d.value for d in Disposition}


# --- states and terms --------------------------------------------------------------------


def test_the_diagram_has_exactly_the_legal_moves() -> None:
    diagram = next(b.text for b in blocks("docs/states.md", "mermaid") if "stateDiagram" in b.text)
    drawn = re.findall(r"^ +(\S+) --> (\w+|\[\*\]):", diagram, re.MULTILINE)
    assert len(drawn) == diagram.count("-->")
    moves = [(str(start), str(end)) for start, ends in LEGAL_MOVES.items() for end in ends]
    deletes = [(str(state), "[*]") for state in DELETABLE]
    assert sorted(drawn) == sorted([*moves, *deletes, ("[*]", "pending")])


@pytest.mark.parametrize(
    ("term", "values"),
    [
        ("state", State),
        ("in the DLQ", IN_DLQ),
        ("outcome", Outcome),
        ("form", Form),
        ("category", Category),
        ("receipt", Custody),
    ],
)
def test_the_glossary_has_every_value_of(term: str, values: Iterator[str]) -> None:
    [meaning] = [row[1] for row in table_rows(read("docs/glossary.md")) if row[0] == f"**{term}**"]
    assert set(re.findall(r"`(\w+)`", meaning)) == {str(value) for value in values}


# --- Scrapy ------------------------------------------------------------------------------


def scrapy_settings() -> dict[str, str]:
    """Name to default, as the page has them."""
    rows = [row for row in table_rows(read("docs/scrapy.md")) if row[0] != "setting"]
    return {row[0].strip("`"): row[1].strip("`") for row in rows}


def test_the_scrapy_page_has_the_providers_settings_with_their_defaults() -> None:
    documented = scrapy_settings()
    for spec in dataclasses.fields(ProviderConfig):
        default = f"{spec.default:g}" if isinstance(spec.default, float) else spec.default
        assert documented[spec.name.upper()] == default


def test_the_scrapy_page_has_every_setting_that_the_pipelines_read() -> None:
    modules = ("scrapers/pipelines/api_enrichment_pipeline.py", "src/dlq/contrib/scrapy.py")
    taken = {
        name
        for module in modules
        for name in re.findall(r'\.get(?:int|float|bool)\(\s*"(\w+)"', read(module))
    }
    assert taken >= SCRAPY_ONLY
    providers = {spec.name.upper() for spec in dataclasses.fields(ProviderConfig)}
    assert set(scrapy_settings()) == taken | providers
