from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dlq.classify import CATEGORIES
from dlq.errors import SettingsError
from dlq.policy import Facts, Policies, PolicyError, load_policies, read_policies
from dlq.policy.form import RULE_FORMS, Match, PolicyFile
from dlq.policy.windows import DAYS
from tests.support.pages import blocks, read, table_rows

HEAD = "version: 1\nrules:\n"


def rule(*lines: str, name: str = "a rule") -> str:
    return "\n".join([f"  - name: {name}", *(f"    {line}" for line in lines), ""])


def refused(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        read_policies(text, "p.yml")
    return str(caught.value).splitlines()


def first_rule(policies: Policies) -> dict[str, object]:
    found: dict[str, object] = policies.as_dict()["rules"][0]
    return found


def test_the_shipped_defaults_cover_every_category_once() -> None:
    rules = load_policies().as_dict()["rules"]
    covered = [category for each in rules for category in each["match"]["category"]]
    assert sorted(covered) == sorted(CATEGORIES)


def test_every_key_is_read() -> None:
    text = """\
version: 1
timezone: Europe/Berlin
rules:
  - name: off-peak
    match:
      category: [timeout, network]
      provider: spotify
      service: [no, 22:00]
      group: 1234567890123456
    retry: backoff
    base: 1h30m
    cap: 2d
    budget: 3
    honour_retry_after: false
    only: ["22:00-06:00"]
"""
    assert first_rule(read_policies(text)) == {
        "name": "off-peak",
        "match": {
            "category": ["network", "timeout"],
            "provider": ["spotify"],
            "service": ["22:00", "no"],
            "group": ["1234567890123456"],
        },
        "retry": "backoff",
        "base_s": 5400,
        "cap_s": 172_800,
        "budget": 3,
        "honour_retry_after": False,
        "quiet": [f"{day} 06:00 - {day} 22:00" for day in DAYS],
        "timezone": "Europe/Berlin",
    }


def test_a_group_of_digits_and_an_e_stays_what_it_is() -> None:
    read = read_policies(HEAD + rule("match: {group: 00123456789012e4}", "retry: never"))
    assert first_rule(read)["match"] == {"group": ["00123456789012e4"]}


def test_a_base_above_the_default_cap_raises_it() -> None:
    read = first_rule(read_policies(HEAD + rule("retry: backoff", "base: 12h")))
    assert (read["base_s"], read["cap_s"]) == (43_200, 43_200)


def test_no_rules_are_rules() -> None:
    assert read_policies("version: 1\nrules: []\n").rule_names == ()


BROKEN = [
    # tabs, syntax and things that are not plain
    ("version: 1\n\trules: []\n", 2, "got a tab. Indent with spaces"),
    ("version: 1\nrules: [\n", 3, "expected YAML"),
    ("version: 1\nrules: []\n---\nversion: 1\n", 3, "got a second one"),
    ("version: 1\nrules: *all\n", 2, "got an alias"),
    ("version: 1\nrules: &all []\n", 2, "got an anchor"),
    ("version: 1\nrules: !!python/object/apply:os.system [ls]\n", 2, "got the tag"),
    ("version: 1\nrules: !mine []\n", 2, 'the tag "!mine"'),
    ("version: 1\n? [a]\n: 1\n", 2, "something else as a key"),
    ("version: 1\nrules: " + "[" * 5000, 2, "at most 10 levels"),
    ("version: 1\nrules: []\nname: \x07\n", 3, "U+0007"),
    ("version: 1\nversion: 1\nrules: []\n", 2, "is there already, on line 1"),
    ("", 1, "got an empty file"),
    ("# only a comment\n", 1, "got an empty file"),
    # the top
    ("- version: 1\n", 1, "expected a mapping of keys, got a list"),
    ("rules: []\n", 1, 'expected the key "version", which is missing'),
    ("version: 2\nrules: []\n", 1, 'version: expected 1, the only version there is, got "2"'),
    ("version: 1\nrules:\n  a: 1\n", 2, "rules: expected a list, got a mapping"),
    ("version: 1\nrules:\n", 2, "rules: expected a list, got nothing"),
    ("version: 1\nrules: []\ntimezome: UTC\n", 3, 'Did you mean "timezone"?'),
    ("version: 1\ntimezone: Europe/Berlim\nrules: []\n", 2, 'Did you mean "Europe/Berlin"?'),
    ("version: 1\ntimezone: ../../etc/passwd\nrules: []\n", 2, "time zone database"),
    ("version: 1\ntimezone: Europe\nrules: []\n", 2, "time zone database"),
    ("version: 1\ntimezone:\nrules: []\n", 2, "got nothing"),
    # a rule
    (HEAD + "  - never\n", 3, 'rule 1: expected a mapping of keys, got "never"'),
    (HEAD + "  - retry: never\n", 3, 'rule 1: expected the key "name"'),
    (HEAD + rule("retry: never", name="none"), 3, "means that no rule matched"),
    (HEAD + rule("retry: never", name='"a\\nb"'), 3, "on one line"),
    (HEAD + rule("match: {}"), 3, 'rule "a rule": expected the key "retry" (one of backoff'),
    (HEAD + rule("retry: backof"), 4, 'got "backof". Did you mean "backoff"?'),
    (HEAD + rule("retry: [never]"), 4, "got a list"),
    (HEAD + rule("retry: never", "base: 1m"), 5, "unknown key; expected one of name, match, retry"),
    (HEAD + rule("retry: backoff", "budgte: 6"), 5, 'Did you mean "budget"?'),
    # match
    (HEAD + rule("match: [network]", "retry: never"), 4, "match: expected a mapping of keys"),
    (HEAD + rule("match:", "retry: never"), 4, "match: expected a mapping of keys, got nothing"),
    (HEAD + rule("match: {category: netwrok}", "retry: never"), 4, 'Did you mean "network"?'),
    (HEAD + rule("match: {category: []}", "retry: never"), 4, "at least one value"),
    (HEAD + rule("match: {category: }", "retry: never"), 4, "got nothing"),
    (
        HEAD + rule("match:", "  provider:", "   - a", "   - {b: 1}", "retry: never"),
        7,
        "a mapping",
    ),
    (HEAD + rule("match: {error_type: x}", "retry: never"), 4, "match, error_type: unknown key"),
    # numbers, spans, windows
    *[
        (
            HEAD + rule("retry: backoff", f"budget: {value}"),
            5,
            "a whole number of tries from 1",
        )
        for value in ("0", "-1", "6.5", "six", "101", "[1]", "1_0", "''")
    ],
    (HEAD + rule("retry: backoff", "budget:"), 5, "got nothing"),
    *[
        (HEAD + rule("retry: backoff", f"base: {value}"), 5, "time span such as 30s, 5m")
        for value in ("60", "1 minute", "-1m", "0s", "1.5h", "1m2h", "99999d", "1w", "m", "[1m]")
    ],
    (HEAD + rule("retry: backoff", "base: 2h", "cap: 1h"), 6, "at least the base, 2 h, got 1 h"),
    (HEAD + rule("retry: backoff", "honour_retry_after: yes"), 5, 'true or false, got "yes"'),
    (HEAD + rule("retry: cooldown"), 3, 'expected the key "after"'),
    (HEAD + rule("retry: cooldown", "after: []"), 5, "at least one value"),
    (HEAD + rule("retry: cooldown", "after:", "  - 30d", "  - 60"), 7, 'got "60"'),
    (HEAD + rule("retry: backoff", "quiet: [7-23]"), 5, "window such as"),
    (HEAD + rule("retry: backoff", "quiet: [22:00-06:00, 25:00-26:00]"), 5, "00:00 to 24:00"),
    (HEAD + rule("retry: backoff", "only: {from: 1}"), 5, "window such as"),
    (HEAD + rule("retry: backoff", "quiet: 00:00-24:00"), 5, "no time is left"),
    (HEAD + rule("retry: backoff", "quiet: [06:00-22:00, 22:00-06:00]"), 5, "no time is left"),
    (HEAD + rule("retry: backoff", "quiet: 1:00-2:00", "only: 3:00-4:00"), 6, "got both"),
    (HEAD + rule("retry: backoff", f"quiet: [{', '.join(['01:00-02:00'] * 51)}]"), 5, "at most 50"),
    # the whole
    (HEAD + rule("retry: never") + rule("retry: never", name="b"), 5, "is never reached"),
    (
        HEAD
        + rule("match: {category: [auth, bug]}", "retry: never")
        + rule("match: {provider: x, category: bug}", "retry: never", name="b"),
        6,
        '"a rule" above takes all that it matches',
    ),
    (
        HEAD
        + rule("match: {provider: x}", "retry: never")
        + rule("match: {provider: y}", "retry: never"),
        6,
        "is the name of the rule on line 3 too",
    ),
]


@pytest.mark.parametrize(("text", "line", "said"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_is_refused_with_its_line(text: str, line: int, said: str) -> None:
    lines = refused(text)
    assert re.match(rf"p\.yml, line {line}, column \d+: ", lines[-1])
    assert said in lines[-1]
    assert len(lines) == 1


def test_all_problems_are_told_in_the_order_of_the_file() -> None:
    text = HEAD + rule("retry: backoff", "cap: x", "base: y") + rule("retry: no", name="b")
    lines = refused(text)
    assert [re.findall(r"line (\d+), column (\d+)", each) for each in lines] == [
        [("5", "10")],
        [("6", "11")],
        [("8", "12")],
    ]


def test_at_most_ten_problems_are_told() -> None:
    lines = refused("version: 1\nrules:\n" + "  - x\n" * 50)
    assert len(lines) == 11
    assert lines[-1] == "p.yml: and 40 more."


def test_hostile_text_is_shown_on_one_line_and_short() -> None:
    [line] = refused(HEAD + rule('retry: "\\e[31m\\n' + "x" * 5000 + '"'))
    assert line.isprintable()
    assert len(line) < 250


def test_a_bomb_of_aliases_is_refused_at_its_first_anchor() -> None:
    bomb = "version: 1\nx0: &x0 [a, a]\n" + "".join(
        f"x{i}: &x{i} [*x{i - 1}, *x{i - 1}]\n" for i in range(1, 2000)
    )
    assert "line 2" in refused(bomb)[0]


def test_an_anchor_used_twice_is_refused_without_a_warning() -> None:
    assert "got an anchor" in refused("version: &a 1\nrules: &a []\n")[0]


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.yml"
    path.write_text("version: 1\nrules: []\n" + "# ä\n" * 100_000, "utf-8")
    with pytest.raises(PolicyError, match="at most 262,144 bytes"):
        load_policies(path)


def test_a_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yml"
    path.write_bytes("version: 1\nrules: [] # gr\u00f6\u00dfer\n".encode("latin-1"))
    with pytest.raises(PolicyError, match=r"latin\.yml, line 2, column 15: expected UTF-8.*0xF6"):
        load_policies(path)


def test_a_byte_order_mark_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "windows.yml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1\r\nrules: []\r\n")
    assert load_policies(path).rule_names == ()


@pytest.mark.parametrize("name", ["missing.yml", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(str(tmp_path / name))) as caught:
        load_policies(tmp_path / name)
    assert caught.value.code == "invalid_policies"


# --- the digest --------------------------------------------------------------------------

PLAIN = """\
version: 1
rules:
  - name: a
    match: {category: [network, timeout]}
    retry: backoff
    base: 1m
    quiet: ["07:00-23:00"]
"""


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("rules:", "# a comment\n\nrules:"),
        PLAIN.replace("1m", "60s"),
        PLAIN.replace("[network, timeout]", '["timeout", network]'),
        PLAIN.replace('"07:00-23:00"', "07:00-12:00, 12:00-23:00"),
        PLAIN.replace('quiet: ["07:00-23:00"]', 'only: "23:00-07:00"'),
        PLAIN + "    cap: 6h\n    honour_retry_after: true\n    budget: 6\n",
        PLAIN.replace("version: 1\n", "") + "version: 1\n",
        PLAIN.replace("version: 1\n", "version: 1\ntimezone: UTC\n"),
    ],
)
def test_the_digest_is_that_of_the_meaning(text: str) -> None:
    assert text != PLAIN
    assert read_policies(text).digest == read_policies(PLAIN).digest


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("name: a", "name: b"),
        PLAIN.replace("1m", "61s"),
        PLAIN.replace("[network, timeout]", "network"),
        PLAIN.replace("07:00", "07:01"),
        PLAIN.replace("version: 1\n", "version: 1\ntimezone: Europe/Berlin\n"),
        PLAIN + "    budget: 5\n",
        PLAIN + "    honour_retry_after: false\n",
        PLAIN + "  - {name: rest, retry: never}\n",
    ],
)
def test_another_meaning_has_another_digest(text: str) -> None:
    assert read_policies(text).digest != read_policies(PLAIN).digest


def test_the_time_zone_means_nothing_without_windows() -> None:
    text = "version: 1\nrules: [{name: a, retry: backoff}]\n"
    assert read_policies(text).digest == read_policies(text + "timezone: Asia/Tokyo\n").digest


def test_the_order_of_rules_has_a_meaning() -> None:
    one = rule("match: {provider: x}", "retry: never", name="one")
    two = rule("match: {category: bug}", "retry: never", name="two")
    assert read_policies(HEAD + one + two).digest != read_policies(HEAD + two + one).digest


# --- the page ----------------------------------------------------------------------------

PAGE = "docs/policies.md"


def test_the_files_on_the_page_can_be_used() -> None:
    files = blocks(PAGE, "yaml")
    assert len(files) == 2
    for file in files:
        assert read_policies(file.text).rule_names


def test_the_page_has_every_key() -> None:
    forms = (PolicyFile, Match, *RULE_FORMS.values())
    keys = {field.alias or name for form in forms for name, field in form.model_fields.items()}
    assert {row[0].strip("`") for row in table_rows(read(PAGE))} >= keys


def test_the_page_has_the_defaults_of_every_category() -> None:
    table = read(PAGE).partition("## The shipped defaults")[2].partition("\n## ")[0]
    rows = [re.findall(r"`(\w+)`", row[0]) for row in table_rows(table)]
    rules = load_policies().as_dict()["rules"]
    assert [set(row) for row in rows if row] == [set(each["match"]["category"]) for each in rules]


def test_the_off_peak_example_does_what_the_page_says() -> None:
    policies = read_policies(blocks(PAGE, "yaml")[1].text)
    berlin = ZoneInfo("Europe/Berlin")
    tuesday, saturday = (dt.datetime(2026, 11, day, 12, tzinfo=berlin) for day in (24, 28))

    def held_until(now: dt.datetime) -> dt.datetime | None:
        letter = Facts("musicbrainz", "timeout", "s", "f", now, None, 0, None, None)
        return policies.held_until(letter, now)

    assert held_until(tuesday) == tuesday.replace(hour=23)
    assert held_until(saturday) is None
