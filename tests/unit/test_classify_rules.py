"""Rules as data: the shipped file, an installation's own, and the names by which they answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dlq.classify import CATEGORIES, diagnose, diagnose_text, explain, load_rules, use_rules
from dlq.classify.rulefile import RuleFile, Weight
from dlq.classify.rules import LASTFM_NAMES, Category
from dlq.classify.ruleset import last_name, shipped_rules
from dlq.errors import SettingsError

DOC = Path(__file__).parents[2] / "docs" / "classification.md"

OwnRules = Callable[[str], None]


@pytest.fixture
def own_rules(tmp_path: Path) -> Iterator[OwnRules]:
    """Puts rules in force for the length of a test."""

    def use(text: str) -> None:
        path = tmp_path / "rules.toml"
        path.write_text(text, encoding="utf-8")
        use_rules(load_rules(path))

    yield use
    use_rules(load_rules(None))


def _rule(**more: str) -> str:
    keys = {"name": '"x"', "category": '"auth"', "status": "503", **more}
    return "[[rule]]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items() if value)


# --- an installation's own ---------------------------------------------------------------


class PreviewMissing(Exception):
    pass


class NoClip(PreviewMissing):
    pass


def test_the_example_of_the_documentation_works(own_rules: OwnRules) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", DOC.read_text("utf-8"), re.DOTALL)
    own_rules(blocks[0])

    found = diagnose_text("503: We are spinning new records", error_type="beatport")
    assert (found.category, found.rule) == ("server_error", "own:beatport-maintenance")
    assert found.reason == "Beatport is in maintenance"
    assert diagnose_text("back soon", error_type="spotify").category == "unknown"

    found = diagnose_text("You are blocked for 12 minutes", http_status=403)
    assert (found.category, found.error_type, found.http_status) == ("rate_limit", "tunein", 403)
    assert diagnose_text("You are blocked for 12 minutes", http_status=401).category == "auth"

    found = diagnose(NoClip("none"))
    assert (found.category, found.transient, found.rule) == ("not_found", True, "own:no-preview")


def test_without_own_rules_the_shipped_ones_are_in_force() -> None:
    assert load_rules(None) is shipped_rules()
    assert diagnose_text("503 Service Unavailable").rule == "status:503"


def test_own_rules_come_first_and_in_the_order_of_the_file(own_rules: OwnRules) -> None:
    own_rules(_rule() + "\n" + _rule(name='"y"', category='"bug"'))
    assert diagnose_text("503 Service Unavailable", http_status=503).rule == "own:x"


def test_an_own_rule_is_met_by_a_cause_behind_the_exception(own_rules: OwnRules) -> None:
    own_rules(_rule(status="", code='"errno:ECONNREFUSED"'))
    error = RuntimeError("enrichment failed")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    found = diagnose(error)
    assert (found.category, found.rule) == ("auth", "own:x")


def test_an_own_rule_leaves_a_provider_that_was_named(own_rules: OwnRules) -> None:
    own_rules(_rule(error_type='"tunein"'))
    assert diagnose_text("", http_status=503).error_type == "tunein"
    assert diagnose_text("", http_status=503, error_type="general").error_type == "tunein"
    assert diagnose_text("", http_status=503, error_type="spotify").error_type == "spotify"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[rule", "expected TOML"),
        ("[status]\nauth = [1]", r"\[\[rule\]\] entries only"),
        ("rule = 1", r"\[\[rule\]\]: expected a list"),
        (_rule(name=""), r"\[\[rule\]\] 1 name: expected a word"),
        (_rule(name='"a b"'), r"\[\[rule\]\] 1 name: expected a word"),
        (_rule(category='"oops"'), r"rule 'x' category: expected a category \(rate_limit, "),
        (_rule(category=""), "rule 'x' category: expected a category"),
        (_rule(status=""), "rule 'x': expected at least one of provider, class"),
        (_rule(status='"503"'), "rule 'x' status: expected a int"),
        (_rule(statuses="[503]"), "rule 'x': expected only name, category"),
        (_rule(words='["Back Soon"]'), "rule 'x' words: expected lower-case words"),
        (_rule(words='["ab"]'), "rule 'x' words: expected at least 3 characters"),
        (_rule(transient='"yes"'), "rule 'x' transient: expected a bool"),
        (_rule(error_type='"Tune In"'), "rule 'x' error_type: expected a word"),
        (_rule(regex='"("'), r"rule 'x' regex: expected a regular expression \(missing \)"),
        (_rule(regex=f'"{"a" * 201}"'), "rule 'x' regex: expected at most 200 characters"),
        (_rule(regex="'(a+)+$'"), "rule 'x' regex: expected no repetition of a group"),
        (_rule(regex="'(a|a)*$'"), "rule 'x' regex: expected no repetition of a group"),
        (_rule(regex="'a*a*a*b'"), "rule 'x' regex: expected at most 2 repetitions"),
        (_rule(regex=r"'(a)\1'"), "rule 'x' regex: expected at most 2 repetitions"),
        (_rule() + "\n" + _rule(), "rule 'x': expected a name that no other rule has"),
    ],
)
def test_a_rule_that_cannot_be_used_is_named_with_what_was_expected(
    own_rules: OwnRules, tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        own_rules(text)
    assert str(refused.value).startswith(str(tmp_path / "rules.toml"))


def test_a_file_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="mend DLQ_RULES_FILE or leave it empty"):
        load_rules(tmp_path / "none.toml")


@pytest.mark.parametrize(("count", "category"), [(500, "auth"), (501, "unknown")])
def test_an_own_regex_reads_the_first_500_characters(
    own_rules: OwnRules, count: int, category: str
) -> None:
    own_rules(_rule(status="", category='"auth"', regex=f"'a{{{count}}}'"))
    assert diagnose_text("a" * 200_000).category == category


# --- the shipped file --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[errno]\nauth = ["EPERM"]\nbug = ["EPERM"]', r"\[errno\] bug: expected each entry once"),
        ('[errno]\noops = ["EPERM"]', r"\[errno\] oops: expected a category"),
        ('[errno]\nauth = "EPERM"', r"\[errno\] auth: expected a list"),
        ("", r"\[errno\]: expected a dict, got 'None'"),
    ],
)
def test_a_slip_in_the_shipped_file_is_named(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        RuleFile.of("rules.toml", text).inverted("errno")


def test_every_category_has_a_sentence_and_transience_is_that_of_the_table() -> None:
    rules = shipped_rules()
    assert set(rules.category_reasons) == set(CATEGORIES)
    assert rules.transient == {
        *(Category.RATE_LIMIT, Category.TIMEOUT, Category.NETWORK),
        *(Category.SERVER_ERROR, Category.RESOURCE),
    }


def test_the_table_of_the_documentation_has_every_category_in_order() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \| (yes|no)", DOC.read_text("utf-8"), re.MULTILINE)
    transient = shipped_rules().transient
    assert rows == [(str(c), "yes" if c in transient else "no") for c in CATEGORIES]


def test_codes_are_found_by_themselves_or_by_their_family() -> None:
    rules = shipped_rules()
    assert rules.of_code("sqlstate", "42501") is Category.AUTH
    assert rules.of_code("sqlstate", "42P01") is Category.BUG
    assert rules.of_code("sqlite", "SQLITE_CONSTRAINT_UNIQUE") is Category.INVALID_DATA
    assert rules.of_code("sqlite", "SQLITE_ODD") is None
    assert rules.of_code("nonsense", "1") is None


def test_classes_are_found_by_name_then_by_what_the_name_contains() -> None:
    rules = shipped_rules()
    assert rules.of_class("httpx.ReadTimeout") == (Category.TIMEOUT, Weight.DECISIVE)
    assert rules.of_class("redis.exceptions.ResponseError") == (Category.BUG, Weight.TELLING)
    assert rules.of_class("pipeline.SpotifyQuotaExceeded") == (Category.RATE_LIMIT, Weight.TELLING)
    assert rules.of_class("pipeline.Odd") is None
    assert {last_name(n) for n in ("a.b.C", "a.B$C", "A::C", "A\\C", "C")} == {"C"}


def test_what_was_seen_is_remembered_within_bounds() -> None:
    rules = shipped_rules()
    for number in range(5000):
        rules.of_class(f"Odd{number}")
        rules.sentence_for(f"class:Odd{number}")
    assert len(rules.seen_classes) <= 2000
    assert len(rules.seen_rules) <= 2000


def test_lastfms_numbers_have_names() -> None:
    assert LASTFM_NAMES[29] == "Rate limit exceeded"
    assert len(LASTFM_NAMES) >= 16


# --- explanations ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "Spotify: HTTP 429, retry after 30",
            (
                "rate_limit by the HTTP status 429: "
                "Spotify allows no more requests for now (HTTP 429), try again in 30 s"
            ),
        ),
        (
            "HTTP 403: quota exceeded",
            (
                "rate_limit by the HTTP status 403 with “quota”: "
                "The service allows no more requests for now (HTTP 403)"
            ),
        ),
        (
            "connection refused",
            "network by the words “connection refused”: The connection to the service was refused",
        ),
        (
            "connect ECONNREFUSED 127.0.0.1:5432",
            "network by the system's error ECONNREFUSED: The connection to the service was refused",
        ),
        ("oops", "unknown by no rule: Nothing known supports a cause (oops)"),
    ],
)
def test_a_decision_explains_itself_in_one_line(text: str, line: str) -> None:
    assert explain(diagnose_text(text)) == line
