"""YAML 1.2 text → plain data, and where each part of it stands; pure.

Every scalar stays the text that it is (`22:00`, `no`, a group of 16 digits): the form says
what it means. Anchors, aliases and tags are refused, depth and size are bounded, so that a
file is never more than what it looks like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from dlq.policy.problems import Place, PolicyError, Problem, policy_error, quoted

MAX_BYTES = 256 * 1024
MAX_DEPTH = 10

Plain: TypeAlias = "dict[str, Plain] | list[Plain] | str | None"
Steps: TypeAlias = tuple[str | int, ...]
"""From the top of the file to a part: keys, and indexes of lists."""

_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{kind}"
    for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)


@dataclass(frozen=True, slots=True)
class Source:
    """A file's data with the places of all its parts."""

    data: Plain
    places: dict[Steps, Place]
    key_places: dict[Steps, Place]

    def place(self, path: Steps, *, of_key: bool = False) -> Place:
        """Of the part itself, or of the nearest one around it that is there."""
        places = self.key_places if of_key else self.places
        while path and path not in places:
            path = path[:-1]
        return places.get(path) or Place(1, 1)


def read_source(text: str, name: str) -> Source:
    """Parse one document.

    Raises:
        PolicyError: too large, not YAML, a duplicate key, an anchor, alias or tag.
    """
    check_size(len(text.encode("utf-8", "surrogatepass")), name)
    walk = _Walk()
    root = _compose(text, name)
    data = walk.plain(root, ()) if root is not None else None
    if walk.problems:
        raise policy_error(name, walk.problems)
    return Source(data, walk.places, walk.key_places)


def check_size(size_bytes: int, name: str) -> None:
    if size_bytes > MAX_BYTES:
        raise PolicyError(f"{name}: expected at most {MAX_BYTES:,} bytes, got more. Shorten it.")


def _compose(text: str, name: str) -> Node | None:
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    yaml.composer.warn_double_anchors = False  # they are refused anyway
    try:
        return yaml.compose(text)  # type: ignore[no-any-return]
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = _place(mark) if mark else Place(1, 1)
        raise policy_error(name, [Problem(place, _syntax(error))]) from None
    except ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n") + 1, error.position - before.rfind("\n"))
        unfit = f"expected text, got the character U+{ord(text[error.position]):04X}. Remove it."
        raise policy_error(name, [Problem(place, unfit)]) from None
    except YAMLError as error:
        raise PolicyError(f"{name}: expected YAML, got {quoted(error)}.") from None


def _syntax(error: MarkedYAMLError) -> str:
    said = " ".join(f"{error.context or ''} {error.problem or ''}".split())
    if "'\\t'" in said:
        return "expected spaces, got a tab. Indent with spaces: YAML takes no tabs there."
    if "another document" in said:
        return "expected one document, got a second one. Remove what follows `---`."
    if "maximum depth" in said:
        return f"expected at most {MAX_DEPTH} levels, got more. Look for an open bracket."
    if "undefined alias" in said:
        return 'expected text, got an alias ("*"). Quote it if the asterisk is meant.'
    return f"expected YAML, but: {said[:200]}. Mend this line or the one above it."


def _place(mark: StreamMark) -> Place:
    return Place(mark.line + 1, mark.column + 1)


class _Walk:
    """Goes over the nodes once; an anchor ends it there, so that no alias is followed."""

    def __init__(self) -> None:
        self.places: dict[Steps, Place] = {}
        self.key_places: dict[Steps, Place] = {}
        self.problems: list[Problem] = []

    def plain(self, node: Node, path: Steps) -> Plain:
        self.places.setdefault(path, _place(node.start_mark))
        if node.anchor is not None:
            self._refuse(node, 'an anchor ("&")', "Write the value out where it is used")
        elif node.tag not in _PLAIN_TAGS:
            self._refuse(node, f"the tag {quoted(node.tag)}", "Remove the tag")
        elif isinstance(node, MappingNode):
            return self._mapping(node, path)
        elif isinstance(node, SequenceNode):
            return [self.plain(item, (*path, index)) for index, item in enumerate(node.value)]
        elif not node.tag.endswith(":null"):
            return str(node.value)
        return None

    def _mapping(self, node: MappingNode, path: Steps) -> dict[str, Plain]:
        found: dict[str, Plain] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode) or key_node.anchor is not None:
                self._refuse(key_node, "something else as a key", "Use a plain word")
                continue
            key, place = str(key_node.value), _place(key_node.start_mark)
            if key in found:
                first = self.key_places[(*path, key)].line
                text = f"the key {quoted(key)} is there already, on line {first}. Remove one."
                self.problems.append(Problem(place, text))
                continue
            self.key_places[(*path, key)] = place
            if not isinstance(value_node, ScalarNode) or not value_node.value:
                self.places[(*path, key)] = place  # an empty value stands nowhere
            found[key] = self.plain(value_node, (*path, key))
        return found

    def _refuse(self, node: Node, got: str, remedy: str) -> None:
        self.problems.append(
            Problem(_place(node.start_mark), f"expected plain YAML, got {got}. {remedy}.")
        )
