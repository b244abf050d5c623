"""What is wrong with text that is not YAML, in plain words: the place, the mistake and the likely fix."""

import re
from dataclasses import dataclass, replace

import yaml

_INDENT = "Check the indentation: keys of one mapping start in the same column."
_SHOWN = 60
_QUOTE = "Put the whole value in quotes."
_PAIR = "Write `key: value`, with a space after the colon."
_BACKSLASH = "Double the backslash, or use single quotes."
_IN_BRACKETS = "Inside brackets, quote a text that holds , : [ ] {{ or }}."


@dataclass(frozen=True, slots=True)
class SyntaxMistake:
    """`line` and `column` count from 1."""

    line: int
    column: int
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class _Rule:
    """`words` is looked for in what PyYAML says; `at_start` takes the place where the broken thing began."""

    words: str
    message: str
    hint: str = ""
    at_start: bool = False


_RULES = (
    _Rule(r"found character '\\t'", "a tab cannot stand here.", "Indent with spaces."),
    _Rule(r"found character '(?P<it>.)' that cannot start", "a value cannot start with {it}.", _QUOTE),
    _Rule(r"quoted scalar.*(end of stream|document separator)", "this quote is never closed.", at_start=True),
    _Rule(r"unknown escape character '(?P<it>.+)'", "\\{it} means nothing in double quotes.", _BACKSLASH),
    _Rule(
        r"undefined alias '(?P<it>.*)'",
        "*{it} refers to no anchor &{it}.",
        "Quote a text that starts with *.",
    ),
    _Rule(r"duplicate anchor '(?P<it>.*)'", "the anchor &{it} is given twice."),
    _Rule(r"flow \w+ .*(<stream end>|end of stream)", "this bracket is never closed.", at_start=True),
    _Rule(r"flow mapping .*expected ',' or '}'", "expected , or }} here.", _IN_BRACKETS),
    _Rule(r"flow sequence .*expected ',' or '\]'", "expected , or ] here.", _IN_BRACKETS),
    _Rule(r"unclosed '\[' or '{'", "the lines above are indented differently, or a bracket is not closed."),
    _Rule(r"could not find expected ':'", "expected a key and its value.", _PAIR, at_start=True),
    _Rule(r"mapping values are not allowed", "a second colon, or the wrong indentation."),
    _Rule(r"expected <block end>, but found '<scalar>'", "there is text after the end of the value.", _QUOTE),
    _Rule(r"expected <block end>", "this line does not fit the ones above it.", _INDENT),
    _Rule(r"sequence entries are not allowed", "a list cannot start here.", "Give each `- item` its own line."),
    _Rule(r"expected the node content", "a value is missing here, or the text lacks its quotes."),
    _Rule(r"nested deeper", "nested too deeply."),
)


def explain(error: yaml.YAMLError, text: str) -> SyntaxMistake:
    """The mistake that made PyYAML give up."""
    if isinstance(error, yaml.reader.ReaderError):
        return _unprintable(error.position, text)
    if isinstance(error, yaml.MarkedYAMLError):
        return _explain_marked(error, text.splitlines())
    return SyntaxMistake(1, 1, "this is not YAML.")


def _unprintable(position: int, text: str) -> SyntaxMistake:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return SyntaxMistake(
        line, column, f"the character U+{ord(text[position]):04X} is not allowed in YAML.", "Remove it."
    )


def _explain_marked(error: yaml.MarkedYAMLError, lines: list[str]) -> SyntaxMistake:
    words = f"{error.context or ''} {error.problem or ''}"
    for rule in _RULES:
        if match := re.search(rule.words, words):
            line, column = _place(error, at_start=rule.at_start, lines=lines)
            message, hint = (part.format(**match.groupdict()) for part in (rule.message, rule.hint))
            return _closer(SyntaxMistake(line, column, message, hint), error, lines)
    line, column = _place(error, at_start=False, lines=lines)
    return SyntaxMistake(line, column, f"this is not YAML: {error.problem or 'unknown problem'}.")


def _place(error: yaml.MarkedYAMLError, *, at_start: bool, lines: list[str]) -> tuple[int, int]:
    marks = (error.context_mark, error.problem_mark) if at_start else (error.problem_mark, error.context_mark)
    mark = next((mark for mark in marks if mark is not None), None)
    if mark is None:
        return 1, 1
    if mark.line >= len(lines) > 0:
        return len(lines), len(lines[-1]) + 1
    return mark.line + 1, mark.column + 1


def _closer(mistake: SyntaxMistake, error: yaml.MarkedYAMLError, lines: list[str]) -> SyntaxMistake:
    """The mistakes that job definitions invite, told from the line itself."""
    line = lines[mistake.line - 1] if mistake.line <= len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return replace(mistake, message="a tab cannot indent a line.", hint="Indent with spaces.")
    if mistake.message.startswith("there is text after"):
        return _text_after_value(mistake, line)
    if mistake.message.startswith("expected , or"):
        return _in_brackets(mistake, error, line)
    if mistake.message.startswith("a second colon"):
        return _second_colon(mistake, lines)
    return mistake


def _text_after_value(mistake: SyntaxMistake, line: str) -> SyntaxMistake:
    brace = re.match(r"\s*(?:- )?[\w.-]+:\s+(\{.*)", line)
    if brace is None:
        return mistake
    message = "a value that starts with { is read as a mapping."
    return replace(mistake, message=message, hint=_quote(brace[1]))


def _in_brackets(mistake: SyntaxMistake, error: yaml.MarkedYAMLError, line: str) -> SyntaxMistake:
    variable = re.search(r"\$\{[^}]*\}[^\s,}\]]*", line)
    if variable and (mistake.column == 1 or line[mistake.column - 2] == "$"):
        return replace(mistake, hint=f"Inside brackets, quote a variable: {_quoted(variable[0])}.")
    opened = error.context_mark.line + 1 if error.context_mark else mistake.line
    if opened != mistake.line:
        return replace(mistake, hint=f"Is the bracket that opens on line {opened} not closed?")
    return mistake


def _second_colon(mistake: SyntaxMistake, lines: list[str]) -> SyntaxMistake:
    line = lines[mistake.line - 1]
    pair = re.match(r"\s*(?:- )?[\w.-]+:\s+(.*:(?:\s.*)?)$", line)
    if pair:
        message = "a text that is not in quotes cannot hold a colon and a space."
        return replace(mistake, message=message, hint=_quote(pair[1]))
    above = next((n for n in range(mistake.line - 1, 0, -1) if lines[n - 1].strip()), mistake.line)
    if above < mistake.line and ":" not in lines[above - 1]:
        return SyntaxMistake(above, 1, "expected a key and its value.", _PAIR)
    return replace(mistake, message="this line does not fit the ones above it.", hint=_INDENT)


def _quote(text: str) -> str:
    return f"Quote the text: {_quoted(text)}." if len(text) <= _SHOWN else _QUOTE


def _quoted(text: str) -> str:
    escaped = text.strip().replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
