"""YAML text as plain data, with the place of every value and every mistake of form.

Scalars mean what they mean in YAML 1.2, as in editors: `yes`, `on` and dates are texts, `1e-3` is a number.
Only plain values are made, never objects, and what anchors expand to is bounded.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from rowcall.core.errors import DefinitionError, Problem
from rowcall.core.job_file.syntax import explain

Path = tuple[str | int, ...]

MAX_CHARACTERS = 250_000
MAX_VALUES = 100_000
MAX_DEPTH = 50

_PLAIN = "plain"
_TEXT = "tag:yaml.org,2002:str"
_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}
# Longer numbers are texts: Python refuses to print some of them, and no field of a job wants one.
_INT = re.compile(r"[-+]?[0-9]{1,40}")
_OTHER_INT = re.compile(r"0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,40}|[0-9]{1,40}(?:\.[0-9]{0,40})?)(?:[eE][-+]?[0-9]{1,2})?")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key (or list item) and its value stand, from 1, and the offsets of the value in the text."""

    line: int
    column: int
    value_line: int
    value_column: int
    start: int
    end: int


@dataclass(slots=True)
class Tree:
    """A definition on its way from text to data: each step changes `data` and adds to `problems`.

    `spoilt` are the values already complained of. `renamed` leads from the path of a key as meant
    to the path as written, where a later step has put a key right.
    """

    file: str
    text: str
    data: object = None
    places: dict[Path, Place] = field(default_factory=dict[Path, Place])
    problems: list[Problem] = field(default_factory=list[Problem])
    spoilt: set[Path] = field(default_factory=set[Path])
    renamed: dict[Path, Path] = field(default_factory=dict[Path, Path])

    def say(self, path: Path, message: str, hint: str = "", *, of_value: bool = False) -> None:
        """Adds a problem at a key, or at its value; what is not in the text stands at its nearest parent."""
        near = path
        while near and near not in self.places:
            near = near[:-1]
        place = self.places.get(near)
        line, column = (0, 0) if place is None else (place.line, place.column)
        if place and of_value and near == path:
            line, column = place.value_line, place.value_column
        if of_value:
            self.spoilt.add(path)
        self.problems.append(Problem(self.file, key_text(path), message, line, column, hint))

    def written(self, path: Path) -> Path:
        """The path in the file of a path in `data`."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.renamed:
                return (*self.renamed[path[:length]], *path[length:])
        return path

    def source(self, path: Path) -> str:
        """A value as the file has it."""
        place = self.places.get(path)
        return self.text[place.start : place.end] if place else ""


def key_text(path: Path) -> str:
    """`request.messages[0].role`"""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_scalar(text: str) -> object:
    """What an unquoted scalar means."""
    if text in _WORDS or (text.lower() in _WORDS and text in (text.title(), text.upper())):
        return _WORDS[text.lower()]
    if _INT.fullmatch(text):
        return int(text)
    if _OTHER_INT.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


def read_yaml(text: str, file: str) -> Tree:
    """The mapping a file holds. Raises `DefinitionError` when there is no reading on."""
    if len(text) > MAX_CHARACTERS:
        hint = "A long query can be in a file of its own: prompts.file."
        said = f"the file has more than {MAX_CHARACTERS:,} characters."
        raise DefinitionError([Problem(file, "", said, hint=hint)])
    tree = Tree(file, text)
    root = _compose(tree)
    if root is None:
        raise DefinitionError([Problem(file, "", "the file is empty.", hint="A definition starts with `job: name`.")])
    try:
        tree.data = _Walk(tree).value(root, (), root)
    except _TooMuchError as error:
        raise DefinitionError([_problem(file, error.node, str(error))]) from None
    if not isinstance(tree.data, dict):
        kind = "a list" if isinstance(tree.data, list) else "a single value"
        hint = "A definition is a mapping that starts with `job: name`."
        raise DefinitionError([*tree.problems, _problem(file, root, f"the file holds {kind}.", hint)])
    return tree


class _Loader(yaml.SafeLoader):
    """Leaves plain scalars to `read_scalar` and refuses nesting that would exhaust the stack."""

    depth = 0

    def resolve(self, kind: type[yaml.Node], value: object, implicit: tuple[bool, bool]) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        return str(super().resolve(kind, value, implicit))

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.depth > MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="nested deeper", problem_mark=self.get_mark())
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _compose(tree: Tree) -> yaml.Node | None:
    """The root of the first document; a second one is a problem."""
    loader = None
    try:
        loader = _Loader(tree.text)
        root = loader.get_node() if loader.check_node() else None
        if root is not None and loader.check_node():
            mark = loader.get_mark()
            hint = "Put each job in a file of its own."
            tree.problems.append(
                Problem(tree.file, "", "the file holds a second document (---).", mark.line + 1, 1, hint)
            )
        return root
    except yaml.YAMLError as error:
        mistake = explain(error, tree.text)
        where = (mistake.line, mistake.column, mistake.hint)
        raise DefinitionError([Problem(tree.file, "", mistake.message, *where)]) from None
    except (ValueError, OverflowError):
        # PyYAML lets these through for an escape beyond Unicode ("\UFFFFFFFF") and a very long %YAML version.
        mark = loader.get_mark() if loader else yaml.Mark("", 0, 0, 0, None, 0)
        message = "a number or an escape here is too large."
        raise DefinitionError([Problem(tree.file, "", message, mark.line + 1, mark.column + 1)]) from None


class _TooMuchError(Exception):
    def __init__(self, message: str, node: yaml.Node) -> None:
        self.node = node
        super().__init__(message)


class _Walk:
    """Turns nodes into data, one pass."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._visited = 0

    def value(self, node: yaml.Node, path: Path, key: yaml.Node) -> object:
        self._count(node, len(path))
        self._tree.places[path] = _place(key, node)
        if isinstance(node, yaml.MappingNode) and node.tag in _COLLECTIONS:
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag in _COLLECTIONS:
            return [self.value(item, (*path, index), item) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in (_PLAIN, _TEXT):
            return self._scalar(node, path)
        hint = "Leave the tag out, or quote a text that starts with !."
        self._tree.say(path, f"the tag {_shown_tag(node.tag)} is not supported.", hint, of_value=True)
        return None

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> object:
        text = str(node.value)
        if _SURROGATE.search(text):
            self._tree.say(path, "holds half of a surrogate pair.", "Write the whole character.", of_value=True)
            return _SURROGATE.sub("?", text)
        return read_scalar(text) if node.tag == _PLAIN else text

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        data: dict[str, object] = {}
        for own, key, item in self._entries(node, 0):
            name = self._name(key, path)
            if name is None:
                continue
            if name not in data:
                data[name] = self.value(item, (*path, name), key)
            elif own:
                first = self._tree.places[*path, name].line
                where = f" on line {first}" if first != key.start_mark.line + 1 else ""
                self._say(key, (*path, name), f'"{name}" is already given{where}.', "Keep one of the two.")
        return data

    def _entries(self, node: yaml.MappingNode, depth: int) -> Iterator[tuple[bool, yaml.Node, yaml.Node]]:
        """Keys with their values: the mapping's own first, then those it merges in with `<<`."""
        self._count(node, depth)
        merged: list[yaml.Node] = []
        for key, item in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag == _PLAIN and key.value == "<<":
                merged += item.value if isinstance(item, yaml.SequenceNode) else [item]
            else:
                yield True, key, item
        for mapping in merged:
            if isinstance(mapping, yaml.MappingNode):
                yield from ((False, key, item) for _, key, item in self._entries(mapping, depth + 1))
            else:
                self._say(mapping, (), "<< merges a mapping, or a list of mappings.", "Write `<<: *anchor`.")

    def _name(self, key: yaml.Node, path: Path) -> str | None:
        """A key as text; None when it is none."""
        if not isinstance(key, yaml.ScalarNode):
            written = " ".join(self._tree.source(path).split()).replace("{{", "{").replace("}}", "}")
            hint = f'A column in a text is written "{written}", in quotes.' if len(written) < 60 else "Quote a text."
            self._tree.spoilt.add(path)
            self._say(key, path, "a mapping or a list cannot be a key.", hint)
            return None
        text = _SURROGATE.sub("?", str(key.value))
        if key.tag == _PLAIN and not isinstance(read_scalar(text), str):
            hint = f'Quote it: "{text}".' if text else "Is the name before the colon missing?"
            self._say(key, (*path, text), f"the key {text or 'here'} is not a text.", hint)
        return text

    def _say(self, node: yaml.Node, path: Path, message: str, hint: str) -> None:
        self._tree.problems.append(_problem(self._tree.file, node, message, hint, path))

    def _count(self, node: yaml.Node, depth: int) -> None:
        self._visited += 1
        if depth > MAX_DEPTH:
            raise _TooMuchError("nested too deeply, or an anchor holds itself.", node)
        if self._visited > MAX_VALUES:
            raise _TooMuchError(f"more than {MAX_VALUES:,} values once anchors are expanded.", node)


def _place(key: yaml.Node, node: yaml.Node) -> Place:
    own, value = key.start_mark, node.start_mark
    if not isinstance(node, yaml.ScalarNode) or node.value == "":
        value = own
    offsets = (node.start_mark.index, node.end_mark.index)
    return Place(own.line + 1, own.column + 1, value.line + 1, value.column + 1, *offsets)


def _problem(file: str, node: yaml.Node, message: str, hint: str = "", path: Path = ()) -> Problem:
    mark = node.start_mark
    return Problem(file, key_text(path), message, mark.line + 1, mark.column + 1, hint)


def _shown_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
