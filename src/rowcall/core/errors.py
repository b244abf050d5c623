"""What can go wrong, told apart by what one does about it.

RowcallError                 a person should read this, not a traceback
├── DefinitionError          fix the job definition (exit code 2); holds every problem found, not only the first
├── SetupError               fix the surroundings: a missing extra, an unreachable workspace, a credential
└── RunError                 the run could not go on; what was answered is kept
    ├── SqlError             a statement failed on the SQL side; holds the statement
    └── JournalError         the journal cannot be read or written: a full disk, a folder that is read-only

A row that fails is never an exception: it is an answer with an outcome and a `CallError` (see `records`).
"""

from collections.abc import Sequence
from dataclasses import dataclass


class RowcallError(Exception):
    """Base of everything rowcall raises on purpose. `str(error)` is the whole message for a person."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a job definition. `line` and `column` count from 1; 0 means not known."""

    file: str
    key: str
    message: str
    line: int = 0
    column: int = 0
    hint: str = ""

    def __str__(self) -> str:
        where = ":".join(part for part in (self.file, str(self.line or "")) if part)
        message = self.message if not self.hint or self.message[-1:] in ".!?" else f"{self.message}."
        text = ": ".join(part for part in (where, self.key, message) if part)
        return f"{text} {self.hint}".rstrip()


class DefinitionError(RowcallError):
    """A job definition that cannot be used, with every problem in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class SetupError(RowcallError):
    """Something outside the job definition is missing or refuses; the message says what to do."""


class RunError(RowcallError):
    """The run stopped. What was answered is kept; the message says why it stopped and how to go on."""


class SqlError(RunError):
    """A SQL statement failed. `reason` is the engine's own message, shortened; `missing` says it named no existing relation,
    `conflict` that another writer was faster and the same statement may succeed now."""

    def __init__(self, reason: str, statement: str, *, missing: bool = False, conflict: bool = False) -> None:
        self.reason = reason
        self.statement = statement
        self.missing = missing
        self.conflict = conflict
        super().__init__(f"{reason}\n  in: {_first_line(statement)}")


class JournalError(RunError, OSError):
    """The journal cannot be read or written; the message says where and why. An `OSError` too, which is what it comes of."""


class TerminatedError(KeyboardInterrupt):
    """SIGTERM, which a cancelled job gets: it will soon be killed."""


def reason_of(error: RowcallError) -> str:
    """Why, without the statement."""
    return error.reason if isinstance(error, SqlError) else str(error)


def _first_line(statement: str) -> str:
    lines = [line for line in statement.strip().splitlines() if line and not line.lstrip().startswith("--")]
    return lines[0].strip()[:160] if lines else ""
