"""The statements of the `ai_query` engine. Those that depend on what a run finds are values with a method that makes the text."""

from collections.abc import Mapping
from dataclasses import dataclass
from string import Template

from rowcall.core.ai_query.call import call
from rowcall.core.ai_query.form import Form
from rowcall.core.ai_query.reading import Reading
from rowcall.core.ai_query.sql_value import literal_text
from rowcall.core.sql import SqlTexts, Tables, fill

SETTLED_SUFFIX = "_settled"
CORRECTED_SUFFIX = "_corrected"


@dataclass(frozen=True, slots=True)
class Ask:
    """The statement of a wave, but for its number and size."""

    text: str
    slots: Mapping[str, str]
    replies: str
    settled: str

    def first(self, rows: int) -> str:
        """The first one makes the table of replies, so that its column has the very type that the call gives."""
        return self._filled(f"CREATE TABLE {self.replies} USING DELTA AS", 1, rows, settled=False)

    def next(self, wave: int, rows: int, *, settled: bool) -> str:
        """A later one. `settled` says whether the view of what is settled exists."""
        return self._filled(f"INSERT INTO {self.replies}", wave, rows, settled=settled)

    def _filled(self, target: str, wave: int, rows: int, *, settled: bool) -> str:
        join = f"LEFT ANTI JOIN {self.settled} AS settled ON pending.request_hash = settled.request_hash\n  "
        unsettled = f"{join if settled else ''}WHERE pending.request IS NOT NULL"
        return Template(self.text).substitute(
            {**self.slots, "target": target, "wave": str(wave), "rows": str(rows), "unsettled": unsettled}
        )


@dataclass(frozen=True, slots=True)
class ReadReplies:
    """The statement that reads replies, but for how their type is read. All text, so that it can be written down."""

    text: str
    pending: str
    replies: str

    def sql(self, reading: Reading, since: int) -> str:
        """The last reply to each request that was asked in wave `since` or later."""
        slots = {"answer": reading.answer, "error": reading.error, "since": str(since)}
        return Template(self.text).substitute(slots, pending=self.pending, replies=self.replies).rstrip()


def ask(texts: SqlTexts, tables: Tables, endpoint: str, form: Form, *, files: bool) -> Ask:
    slots = {
        "note": f"The request is given as: {form.name}.",
        "call": call(endpoint, form, files=files),
        "parsed": literal_text(form.parsed),
        "pending": tables.pending,
        "files": ", pending.files" if files else "",
    }
    return Ask(texts["statements/ask_wave"].rstrip(), slots, tables.replies, f"{tables.staged}{SETTLED_SUFFIX}")


def probe(texts: SqlTexts, endpoint: str, form: Form, *, files: bool) -> str:
    """A query whose one column `reply` has the type of the call. It is analysed, never run."""
    made = call(endpoint, form, files=files)
    image = ", CAST(NULL AS BINARY) AS files" if files else ""
    return fill(texts, "statements/probe_call", call=made, parsed=literal_text(form.parsed), files=image)


def read_replies(texts: SqlTexts, tables: Tables) -> ReadReplies:
    return ReadReplies(texts["statements/read_replies"], tables.pending, tables.replies)


@dataclass(frozen=True, slots=True)
class Correct:
    """The statement that writes corrected requests into the pending table, from the view `corrected`."""

    text: str
    corrected: str


def correct_pending(texts: SqlTexts, tables: Tables) -> Correct:
    corrected = f"{tables.staged}{CORRECTED_SUFFIX}"
    return Correct(fill(texts, "statements/correct_pending", pending=tables.pending, corrected=corrected), corrected)


def null_prompts(texts: SqlTexts, tables: Tables) -> str:
    return fill(texts, "statements/null_prompts", pending=tables.pending)
