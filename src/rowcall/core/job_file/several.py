"""`endpoints`: the job once for each of several endpoints, all of which answer into one table."""

from dataclasses import replace
from typing import cast

from rowcall.core.job_file.tree import Path, Tree

_ONE, _SEVERAL = "endpoint", "endpoints"


def each_endpoint(tree: Tree) -> list[Tree]:
    """A definition for each of the `endpoints`, which is then labelled with its name; the definition itself where it has none."""
    data = cast("dict[str, object]", tree.data)
    if _SEVERAL not in data:
        return [tree]
    rest = {name: value for name, value in data.items() if name != _SEVERAL}
    named = data[_SEVERAL]
    if _ONE in data:
        tree.say((_SEVERAL,), "stands beside endpoint; give one of the two.")
        return [replace(tree, data=rest)]
    if not isinstance(named, dict) or not named:
        tree.say((_SEVERAL,), "expected a mapping of names to endpoints, such as {fast: {serving: a}}.", of_value=True)
        tree.spoilt.add((_ONE,))
        return [replace(tree, data=rest)]
    endpoints = cast("dict[str, object]", named)
    return [_asking(tree, rest, name, endpoint) for name, endpoint in endpoints.items()]


def _asking(tree: Tree, rest: dict[str, object], name: str, endpoint: object) -> Tree:
    """The definition with one endpoint. What is wrong with that is told where it stands."""
    place: Path = (_SEVERAL, name)
    renamed: dict[Path, Path] = {(_ONE,): place, (_ONE, "label"): place}
    renamed |= {(_ONE, *meant[2:]): written for meant, written in tree.renamed.items() if meant[:2] == place}
    if isinstance(endpoint, dict):
        given = cast("dict[str, object]", endpoint)
        if "label" in given:
            tree.say((*place, "label"), "is needless: an endpoint is labelled with its key.")
        endpoint = {**given, "label": name}
    return replace(tree, data={**rest, _ONE: endpoint}, renamed={**tree.renamed, **renamed})
