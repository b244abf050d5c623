"""Real text that any machine with rowcall has: package descriptions, docstrings, Python's help topics.

Read where it lies, nothing is fetched or made up: package metadata without importing the packages, and the
docstrings of standard-library modules that do nothing when imported.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from importlib import import_module, metadata
from itertools import chain, islice, zip_longest
from types import ModuleType
from typing import cast

LONGEST = 1500
SHORTEST = 80

_MODULES = (
    "argparse",
    "ast",
    "base64",
    "bisect",
    "calendar",
    "collections",
    "configparser",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "fnmatch",
    "fractions",
    "functools",
    "glob",
    "gzip",
    "heapq",
    "html",
    "inspect",
    "itertools",
    "json",
    "logging",
    "pathlib",
    "queue",
    "random",
    "re",
    "shutil",
    "statistics",
    "string",
    "tempfile",
    "textwrap",
    "threading",
    "urllib.parse",
    "zipfile",
)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r"^.*\n([=\-~*^#\"'+.`])\1{3,}\s*$", re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]]*)\](?:\s*\([^)]*\)|\[[^\]]*\])?|`([^`<]+?)\s*<[^>]*>`_{1,2}|:\w+:`~?([^`]*)`")
_TAG = re.compile(r"</?[a-z][^<>]*>", re.IGNORECASE)
_EMPHASIS = re.compile(r"(\*{1,2})([^\s*](?:[^*]*[^\s*])?)\1")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")


def real_texts(limit: int | None = None) -> Iterator[dict[str, str]]:
    """Rows of `text_id`, `source`, `name` and `text`, the three sources in turn, always in the same order.

    A text is one or more paragraphs of prose, 80 to 1,500 characters. A machine gives some hundreds of rows.
    """
    turns = zip_longest(_package_texts(), _topic_texts(), _library_texts())
    return islice(_rows(found for turn in turns for found in turn if found is not None), limit)


def _rows(found: Iterable[tuple[str, str, str]]) -> Iterator[dict[str, str]]:
    seen: set[str] = set()
    for source, name, raw in found:
        text, text_id = prose(raw), f"{source}:{name}"
        if len(text) >= SHORTEST and not seen & {text, text_id}:
            seen |= {text, text_id}
            yield {"text_id": text_id, "source": source, "name": name, "text": text}


def prose(raw: str) -> str:
    """The first paragraphs of prose in a docstring, a README or a manual page, as plain text."""
    raw = _TITLE.sub("\n", raw)
    kept: list[str] = []
    for block in re.split(r"\n\s*\n", raw):
        paragraph = _paragraph(block)
        if paragraph and paragraph not in kept:
            kept.append(paragraph)
        if sum(map(len, kept)) > LONGEST:
            break
    return _cut("\n\n".join(kept))


def _paragraph(block: str) -> str:
    """A block as one line of text; empty when it is or holds code, or is a list, a table or a heading."""
    block = block.strip("\n")
    if re.match(r"\s{3,}|\s*(?:[#<|>*+\-=\[!:]|\.\.|\d+[.)]|>>>)", block):
        return ""
    first, *rest = (len(line) - len(line.lstrip()) for line in block.splitlines() or [""])
    text = " ".join(block.split())
    return text if _is_prose(text) and max(rest, default=0) < first + 4 else ""


def _is_prose(text: str) -> bool:
    plain = sum(character.isalpha() or character == " " for character in text)
    sentence = text[-1:] in (".", "!", "?") and (text[:1].isalpha() or text[:1] == '"')
    return sentence and len(text.split()) >= 6 and plain >= 0.85 * len(text) and "://" not in text


def _cut(text: str) -> str:
    """The text up to the last sentence that fits."""
    if len(text) <= LONGEST:
        return text
    ends = [match.start() for match in _SENTENCE_END.finditer(text) if match.start() <= LONGEST]
    return text[: ends[-1]] if ends else ""


def _package_texts() -> Iterator[tuple[str, str, str]]:
    packages = {package.name.lower(): package for package in metadata.distributions() if package.name}
    for name, package in sorted(packages.items()):
        about = package.metadata.json
        summary = str(about.get("summary", "")).strip()
        closed = summary if summary.endswith((".", "!", "?")) else f"{summary}."
        yield "package", name, _without_markup(f"{closed}\n\n{about.get('description', '')}")


def _topic_texts() -> Iterator[tuple[str, str, str]]:
    topics = cast("dict[str, str]", import_module("pydoc_data.topics").topics)
    return (("topic", name, _without_markup(text)) for name, text in sorted(topics.items()))


def _without_markup(text: str) -> str:
    """Markdown or reStructuredText with its links, tags and emphasis as plain words."""
    text = _LINK.sub(lambda match: match[1] or match[2] or match[3] or "", _FENCE.sub("\n", text))
    return _EMPHASIS.sub(r"\2", _TAG.sub("", text)).replace("`", "")


def _library_texts() -> Iterator[tuple[str, str, str]]:
    return chain.from_iterable(_module_texts(import_module(name)) for name in _MODULES)


def _module_texts(module: ModuleType) -> Iterator[tuple[str, str, str]]:
    yield "stdlib", module.__name__, inspect.cleandoc(module.__doc__ or "")
    for name, value in sorted(vars(module).items()):
        own = getattr(value, "__module__", None) in (module.__name__, f"_{module.__name__}")
        if own and not name.startswith("_") and (inspect.isclass(value) or inspect.isroutine(value)):
            yield "stdlib", f"{module.__name__}.{name}", _own_doc(value)


def _own_doc(value: object) -> str:
    """A docstring that is the object's own, indentation cleaned."""
    doc = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
    return inspect.cleandoc(doc) if isinstance(doc, str) else ""
