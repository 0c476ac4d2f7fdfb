"""Levels a message: what varies from one item to the next becomes a placeholder; pure.

Two messages that differ only in ids, numbers, hosts, paths, times, sizes, quoted or labelled
values are one message. What is a name in code (an attribute, a column, a class) stays. Text is
hostile: every expression is bounded, and of a message only its start is read.
"""

from __future__ import annotations

import re

MAX_CHARS = 1500
MAX_LEVELLED_CHARS = 300
LOOK_BACK_CHARS = 24

_ITEM = r"(?:track|artist|title|album|song|name|query|item|label|release|recording|playlist|file)"
_QUOTED = re.compile(
    r"\"(?<!\w\")(?:[^\"\\\n]|\\.){0,300}\"|'(?<!\w')[^\n]{0,300}?'(?!\w)|`(?<!\w`)[^`\n]{0,300}`"
    r"|[“„”‟«‹»›][^\n“”‟«»‹›]{0,300}[”“‟»›«‹]|‘(?<!\w‘)[^\n]{0,300}?[’‘](?!\w)"
    r"|‚[^\n]{0,300}?[‘’](?!\w)|[「『《〈【][^\n」』》〉】]{0,300}[」』》〉】]"
)
_MAY_BE_QUOTED = re.compile("[\"'`“„”‟«‹»›‘‚「『《〈【]")
_CODE_WORD = re.compile(
    r"(?:argument|attribute|column|constraint|field|function|import|index|method|module"
    r"|(?<!host )named?"
    r"|operator|option|parameter|property|relation|schema|sequence|table|type|variable)s? ?:? ?$",
    re.IGNORECASE,
)
_ARGUMENT_OF_ERROR = re.compile(
    r"(?:Error|Exception|Disconnected|Timeout|Lost)(?::? ?\()(?:-?\d{1,6}, ?)?$"
)
_IDENTIFIER = re.compile(r"[a-z_]{1,60}(?:\.[a-z_]{1,60}){0,6}")
_TYPE_NAME = re.compile(r"[A-Za-z_]{1,40}")
_JSON_WORDS = re.compile(
    r"\"(?:message|msg|error|error_description|errorMessage|reason|detail|details|description"
    r"|title|code|status|type|Code|Message)\"\s{0,4}:\s{0,4}\"((?:[^\"\\]|\\.){0,300})\""
)
_URL = re.compile(r"\b\w{2,12}://[^\s'\"<>]+")
_STATEMENT = re.compile(
    r"\[(?:SQL|parameters): .*|\n ?(?:DETAIL|LINE \d{1,6}|HINT|CONTEXT|QUERY|STATEMENT): .*",
    re.DOTALL,
)
_INPUT_VALUE = re.compile(r"input_value=.{0,300}?, input_type", re.DOTALL)
_COMMAND = re.compile(r"\bCommand [\['][^\n]{1,600}[\]'] (?=(?:returned|died|timed))")
_URL_PATH = re.compile(r"\burl: /\S*", re.IGNORECASE)
_ADDRESS = re.compile(r"\b at 0x[0-9a-fA-F]+")
_HOST_IN_BRACKETS = re.compile(r"\[(?=[^\]]{0,44}[:.])[0-9a-fA-F:.]{2,45}(?:%\w{1,15})?\](?::\d+)?")
_LABELLED_VALUE = re.compile(
    rf"\b((?:{_ITEM}|host|hostname|server|address|user|username|database|dbname|file|path|key)"
    r"(?:_\w{1,20})?\s?[:=]\s?)(?![<(\[{])[^,;:()\n<]{1,100}",
    re.IGNORECASE,
)
_INVALID = re.compile(r"(?<![\w.<-])[\w.-]{1,60}(?= is not a valid )")
_POD = re.compile(r"\bpod [a-z0-9]{1,60}(?:-[a-z0-9]{1,60}){1,9}")  # the end is drawn by lot
_PAIR = re.compile(r"\b((?i:for|of)) [^\n:;(]{1,80}? - [^\n:;(]{1,80}(?:\([^)\n]{0,60}\))?")
_PROPER = r"(?:[A-Z\u00c0-\u00de\u0250-\u1fff\u2c00-\uffff][^\s,;:()<>\"]{0,40})"
_ACRONYM_OR_CALL = r"[A-Z]{2,}\b|[\w.]{1,60}\("
_SMALL_WORD = r"(?:of|the|a|an|and|in|on|to|de|la|feat\.|ft\.|vs\.|[&+–-])"
_NAMED = re.compile(
    rf"\b((?i:for|by|of|from|named|called|{_ITEM})) (?:<\w{{1,6}}> ){{0,2}}(?!{_ACRONYM_OR_CALL})"
    rf"{_PROPER}(?: (?:{_PROPER}|<\w{{1,6}}>|{_SMALL_WORD}(?= {_PROPER}))){{0,8}}"
    r"(?: \([^()\n]{1,60}\))?"
)
_MAY_BE_NAMED = re.compile(rf"\b(?:for|by|of|from|named|called|{_ITEM}) ", re.IGNORECASE)
_CHUNK = re.compile(r"[\w@%+~/\\.:#-]+")
_UNITS = (
    dict.fromkeys(("ns", "us", "µs", "μs", "ms", "s", "sec", "secs", "second", "seconds"), "time")
    | dict.fromkeys(("m", "min", "mins", "minute", "minutes", "h", "hr", "hrs", "hour"), "time")
    | dict.fromkeys(("pb", "eb", "pib", "eib"), "size")
    | dict.fromkeys(("hours", "d", "day", "days", "week", "weeks", "month", "months"), "time")
    | dict.fromkeys(("b", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "tib"), "size")
    | dict.fromkeys(("k", "g", "byte", "bytes"), "size")
)
_NUMBER_WITH_UNIT = re.compile(r"[+-]?\d+(?:[.,:]\d+)*([a-zµμ]{0,7})%?", re.IGNORECASE)
_OTHER_NUMBER = re.compile(
    r"v?\d+(?:\.\d+)+\w{0,8}|v\d+|[+-]?\d+(?:\.\d+)?e[+-]?\d+", re.IGNORECASE
)
_TIME = re.compile(
    r"\d{4}[-/]\d\d?[-/]\d\d?(?:[T_ ]?\d\d:?\d\d(?::?\d\d(?:[.,]\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?|\d\d?[./]\d\d?[./]\d{4}|\d{8}T\d{4,6}Z?"
    r"|(?:\d{1,4}(?:ms|min|[dhms])){2,5}|P\d*D?T[\d.HMS]+"
)
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_IP = re.compile(
    r"\d{1,3}(?:\.\d{1,3}){3}(?:[:/]\d{1,5})?"
    r"|(?=.{0,38}:.{0,38}:)[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:\.\d{1,3}){0,3}(?:[%/]\w{1,15})?",
    re.IGNORECASE,
)
_TLD = (
    "(?:com|org|net|fm|io|dev|local|internal|lan|cloud|app|co|uk|de|eu|us|fr|info|test|example|svc)"
)
_HOST = re.compile(
    rf"(?:[a-z0-9_-]{{1,63}}\.){{1,8}}{_TLD}(?::\d{{1,5}})?|localhost(?::\d{{1,5}})?"
    r"|(?=[a-z0-9.]{0,63}[-.\d])[a-z][a-z0-9.-]{1,63}:\d{2,5}"
    r"|(?!(?:line|char|column|position|offset|code|status|row|port|p?id|errno|error|index|size)s?:)"
    r"[a-z]{2,63}:\d{4,5}",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[\w.+%-]{1,64}@\w[\w-]{0,62}(?:\.[\w-]{1,63}){0,5}")
_PATH = re.compile(r"[~.]{0,2}/[^/]+/.*|~/.+|\.{1,2}/.+|[A-Za-z]:[\\/].*|\\\\.*|[^/]+/[^/]+/.*")
_DATA_FILE = re.compile(
    r".*\.(?:mp3|flac|wav|ogg|m4a|aac|aiff?|jsonl?|csv|xml|txt|zip|gz|jpe?g|png|db|sqlite3?|log"
    r"|parquet|ya?ml|pdf|html?|tmp|bak)",
    re.IGNORECASE,
)
_COUNTED_WORD = re.compile(r"([A-Za-z][A-Za-z_]{3,30}[-_/]?)\d{1,2}")
_LABELLED_NUMBER = re.compile(r"([A-Za-z]{2,20}[:#-])[+-]?\d+(?:[.:]\d+)*")
_VERSIONED = re.compile(r"([A-Za-z]{1,20}/)\d+(?:\.\d+)*")  # HTTP/1.1
_NUMBER_AND_UNIT = re.compile(r"<(?:n|value)>\.? ?([a-zµμ]{1,7})\b", re.IGNORECASE)
_PADDING = re.compile(r"(?<=<id>)={1,2}(?!\w)")  # of base64
_RUN = re.compile(r"(<\w+>)(?:[\s,:=/+-]{0,3}\1)+")
_TOKEN_CHARS = 20
_BY_SIGN = (
    (" is not a valid ", _INVALID, "<value>"),
    (" - ", _PAIR, r"\1 <value>"),
    ("pod ", _POD, "pod <value>"),
)
"""What only a text with this sign in it can hold: most texts are spared the search."""


def levelled(text: str) -> str:
    """`text` with placeholders for what varies from one item to the next.

    They are `<value>` (quoted or labelled), `<n>`, `<id>`, `<time>`, `<size>`, `<host>`,
    `<url>`, `<path>`, `<email>`. At most `MAX_LEVELLED_CHARS`.
    """
    text = _without_quotes(_without_structures(text[:MAX_CHARS]))
    if ":" in text or "=" in text:
        text = _LABELLED_VALUE.sub(r"\1<value>", text)
    for sign, pattern, level in _BY_SIGN:
        if sign in text:
            text = pattern.sub(level, text)
    text = _CHUNK.sub(_chunk, text)
    if _MAY_BE_NAMED.search(text):
        text = _NAMED.sub(r"\1 <value>", text)
    if "<" in text:
        text = _NUMBER_AND_UNIT.sub(_unit, _PADDING.sub("", text))
        text = _RUN.sub(r"\1", text)
    return " ".join(text.split())[:MAX_LEVELLED_CHARS]


def _without_structures(text: str) -> str:
    """Less statements, commands, objects and URLs, whatever they hold."""
    text = _STATEMENT.sub("", text)
    if "[" in text:
        text = _INPUT_VALUE.sub("input_value=<value>, input_type", text)
        text = _HOST_IN_BRACKETS.sub("<host>", text)
    if "Command " in text:
        text = _COMMAND.sub("Command <value> ", text)
    if '{"' in text or "{'" in text:
        text = _without_objects(text)
    if "/" in text:
        text = _URL_PATH.sub("url: <url>", _URL.sub("<url>", text))
    return text


def _without_quotes(text: str) -> str:
    return _QUOTED.sub(_quoted, text) if _MAY_BE_QUOTED.search(text) else text


def _without_objects(text: str) -> str:
    """Less an object in JSON or as Python prints it; what JSON says under `message` stays."""
    start = min(at for at in (text.find('{"'), text.find("{'")) if at >= 0)
    end = max(text.rfind("}") + 1, start) or len(text)
    end = end if end > start else len(text)
    told = " ".join(_JSON_WORDS.findall(text[start:end]))
    return f"{text[:start]} <value> {told} {text[end:]}"


def _quoted(found: re.Match[str]) -> str:
    """Names that a program gives (an attribute, a column) stay, all other values go."""
    content = found[0][1:-1]
    before = found.string[max(0, found.start() - LOOK_BACK_CHARS) : found.start()]
    if _ARGUMENT_OF_ERROR.search(before):  # what an exception says that is printed in another
        return content
    if content.isascii():
        if _CODE_WORD.search(before) and _IDENTIFIER.fullmatch(content):
            return f"'{content}'"
        if found.string.startswith(" object", found.end()) and _TYPE_NAME.fullmatch(content):
            return f"'{content}'"
    return "<value>"


def _chunk(found: re.Match[str]) -> str:
    chunk = found[0]
    if chunk.isalpha() and len(chunk) < _TOKEN_CHARS:
        return "<host>" if chunk == "localhost" else chunk
    core = chunk.strip(".:#-%")
    if not core or (core.isalpha() and len(core) < _TOKEN_CHARS):
        return chunk
    start = chunk.index(core)
    before, after = chunk[:start].rstrip("-"), chunk[start + len(core) :].lstrip("%")
    return f"{before}{_level_of(core)}{after}"


def _level_of(core: str) -> str:
    """What stands for one run of letters, digits and the signs that ids, paths and hosts use."""
    has_digit = any(character.isdigit() for character in core)
    kind = (has_digit or ":" in core) and _kind_of_number(core)
    if kind:
        return f"<{kind}>"
    if "@" in core and _EMAIL.fullmatch(core):
        return "<email>"
    if ("." in core or ":" in core or core == "localhost") and _HOST.fullmatch(core):
        return "<host>"
    if ("/" in core or "\\" in core) and not _VERSIONED.fullmatch(core) and _PATH.fullmatch(core):
        return "<path>"
    if "." in core and _DATA_FILE.fullmatch(core):
        return "<path>"
    return _level_of_word(core, has_digit)


def _kind_of_number(core: str) -> str:
    if _TIME.fullmatch(core):
        return "time"
    if _UUID.fullmatch(core):
        return "id"
    if _IP.fullmatch(core):
        return "host"
    number = _NUMBER_WITH_UNIT.fullmatch(core)
    if number and number[1].lower() in _UNITS:
        return _UNITS[number[1].lower()]
    return "n" if (number and not number[1]) or _OTHER_NUMBER.fullmatch(core) else ""


def _level_of_word(core: str, has_digit: bool) -> str:
    if not has_digit:
        return "<id>" if len(core) >= _TOKEN_CHARS and _is_token(core) else core
    if counted := _VERSIONED.fullmatch(core) or _COUNTED_WORD.fullmatch(core):
        return f"{counted[1]}<n>"
    if labelled := _LABELLED_NUMBER.fullmatch(core):
        return f"{labelled[1].rstrip('-')}<n>"
    return "<id>"


def _is_token(word: str) -> bool:
    """Whether letters alone look drawn by lot: capitals inside, and not at humps of words."""
    if not word.isascii() or "." in word or "_" in word or "-" in word:
        return False
    humps = sum(1 for at in range(1, len(word)) if word[at].isupper() != word[at - 1].isupper())
    return humps > len(word) // 3


def _unit(found: re.Match[str]) -> str:
    kind = _UNITS.get(found[1].lower())
    return f"<{kind}>" if kind else found[0]
