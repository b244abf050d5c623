"""Keys that a definition may not have, each with the key that was probably meant.

They are taken out of the data, or put under the name that was meant, so that checking goes on past them.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import cast

from rowcall.core.job_file.schema import Shape, listed, tags
from rowcall.core.job_file.tree import Path, Tree, key_text

_ALIKE = 0.65
_ALIKE_ELSEWHERE = 0.9
# A word like one known here is a better guess than a word as like one known elsewhere.
_HERE = 0.1
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_OTHER_WORDS = {
    "prompt": "input",
    "user_prompt": "input",
    "system": "instructions",
    "system_prompt": "instructions",
    "id": "key",
    "filter": "where",
    "sql": "query",
    "retries": "attempts",
    "max_retries": "attempts",
    "parallelism": "concurrency",
    "workers": "concurrency",
    "budget": "max_cost",
}
_BODY_FIELDS = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "max_output_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "reasoning",
    "reasoning_effort",
)


def closest(word: str, words: Iterable[str], least: float = _ALIKE) -> str | None:
    """The word most like this one, if any is alike."""
    scored = [(_likeness(word, other), other) for other in words]
    score, best = max(scored, default=(0.0, ""), key=lambda pair: pair[0])
    return best if score >= least else None


def set_aside_unknown_keys(tree: Tree, shape: Shape) -> None:
    """Adds a problem for each unknown key and leaves `tree.data` without them."""
    everywhere = [*_keys(shape, ()), *(("request", "parameters", name) for name in _BODY_FIELDS)]
    walk = _Walk(tree, sorted(dict.fromkeys(everywhere), key=len))
    tree.data = walk.value(tree.data, shape, (), ())


def _likeness(word: str, other: str) -> float:
    ours, theirs = _plain(word), _plain(other)
    if theirs in ours.split("_"):
        return max(0.8, SequenceMatcher(None, ours, theirs).ratio())
    return SequenceMatcher(None, ours, theirs).ratio()


def _plain(word: str) -> str:
    """`maxFailures`, `max-failures` and other tools' words as they are written here."""
    snake = _HUMP.sub("_", word.strip()).lower().replace("-", "_").replace(" ", "_")
    return _OTHER_WORDS.get(snake, snake)


def _keys(shape: Shape, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The path of every key a definition may have, list indexes left out."""
    for branch in shape.objects:
        for name in branch.get("properties", {}):
            yield (*path, name)
            yield from _keys(shape.at(name), (*path, name))
            yield from _keys(shape.at(name).at(0), (*path, name))


@dataclass(frozen=True, slots=True)
class _Walk:
    tree: Tree
    everywhere: list[tuple[str, ...]]

    def value(self, value: object, shape: Shape, path: Path, meant: Path) -> object:
        """The value without unknown keys; `path` is as written, `meant` with keys put right."""
        if isinstance(value, list):
            items = cast("list[object]", value)
            return [
                self.value(item, shape.at(index), (*path, index), (*meant, index)) for index, item in enumerate(items)
            ]
        if isinstance(value, dict) and shape.objects:
            return self._mapping(cast("dict[str, object]", value), shape, path, meant)
        return value

    def _mapping(self, value: dict[str, object], shape: Shape, path: Path, meant: Path) -> dict[str, object]:
        names = shape.names(value)
        kept: dict[str, object] = {}
        for name, item in value.items():
            known: str | None = name
            if names is not None and name not in names:
                free = [other for other in names if other not in value and other not in kept]
                known = self._unknown((*path, name), shape, list(names), free)
            if known is not None:
                kept[known] = self.value(item, shape.at(known), (*path, name), (*meant, known))
                if known != name:
                    self.tree.renamed[(*meant, known)] = (*path, name)
        return kept

    def _unknown(self, path: Path, shape: Shape, names: list[str], free: list[str]) -> str | None:
        """Tells of an unknown key; returns the key of the same mapping that was meant, if one was."""
        name = str(path[-1])
        here = closest(name, free)
        hint = self._elsewhere(name, path, shape, _likeness(name, here) + _HERE if here else 0.0)
        if hint:
            here = None
        elif here:
            hint = f"Did you mean `{here}`?"
        else:
            hint = f"Known here: {', '.join(names)}."
        self.tree.say(path, f'unknown key "{name}".', hint)
        return here

    def _elsewhere(self, name: str, path: Path, shape: Shape, likeness: float) -> str:
        """Where this key, or one more like it than any known here, does belong."""
        best = closest(name, (found[-1] for found in self.everywhere), max(likeness, _ALIKE_ELSEWHERE))
        if best is None:
            return ""
        parent = tuple(part for part in path[:-1] if isinstance(part, str))
        places = [found for found in self.everywhere if found[-1] == best]
        if any(found[:-1] == parent for found in places):
            having = [branch for branch in shape.objects if best in branch.get("properties", {})]
            if len(shape.objects) == len(having):
                return ""
            return f"`{best}` goes with {listed([tag for branch in having for tag in tags(branch)])}."
        nearer = [found for found in places if parent and found[: len(parent)] == parent]
        if best == name:
            return f"`{best}` belongs {_under(nearer or places)}."
        return f"Did you mean `{best}` {_under(nearer or places)}?"


def _under(paths: list[tuple[str, ...]]) -> str:
    parents = [key_text(path[:-1]) for path in paths]
    if "" in parents:
        return "at the top level"
    return f"under {listed(parents)}"
