"""`python crash.py WHEN WHAT COUNT JOB [TABLES]`: run a job as `rowcall run` does, in a process that is killed at one exact
moment; on Apache Spark if the folder of its tables is named.

It sends itself SIGKILL `before` or `after` it does WHAT for the COUNTth time. WHAT is a pattern for one of these:

    execute STATEMENT       a statement of the run
    write_segment, remove   the journal's
    replace PATH            the operating system's: what was written under another name is renamed
    rmdir PATH              the operating system's: an empty folder is removed
"""

import os
import re
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

from rowcall import api
from rowcall.core.ports import Journal, JournalStore, OpenJournal, SqlSession
from rowcall.testing import RecordingReporter
from rowcall.wiring import Options, surroundings


class Moment:
    """When to die."""

    def __init__(self, when: str, what: str, count: int) -> None:
        self._when, self._what, self._left = when, what, count

    @contextmanager
    def passing(self, doing: str) -> Generator[None]:
        """Around what is done."""
        met = re.search(self._what, doing) is not None
        self._left -= met
        now = met and self._left == 0
        if now and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        yield
        if now:
            os.kill(os.getpid(), signal.SIGKILL)

    def watching(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, which dies if that is the moment."""

        def watched(*arguments: Any, **options: Any) -> Any:
            with self.passing(f"{name} {' '.join(map(str, arguments))}"):
                return work(*arguments, **options)

        return watched


class Mortal:
    """Whatever it stands for, but that some of its methods are watched."""

    def __init__(self, it: object, moment: Moment, *watched: str) -> None:
        self._it, self._moment, self._watched = it, moment, watched

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._it, name)
        return self._moment.watching(name, found) if name in self._watched else found


class MortalJournals:
    """A store of such journals. They do not travel to tasks: the driver makes the calls."""

    def __init__(self, store: JournalStore, moment: Moment) -> None:
        self._store, self._moment = store, moment

    def recipe(self, job: str, run_id: str) -> OpenJournal:
        return lambda: cast(
            "Journal", Mortal(self._store.recipe(job, run_id)(), self._moment, "write_segment", "remove")
        )

    def runs(self, job: str) -> list[str]:
        return self._store.runs(job)

    def overflows(self, job: str) -> list[str]:
        return self._store.overflows(job)


def main(when: str, what: str, count: str, job: str, tables: str | None = None) -> None:
    moment, loaded = Moment(when, what, int(count)), api.load_job(job)
    with ExitStack() as stack:
        options = Options(spark=_apache_spark(stack, Path(tables)) if tables else None)
        here = stack.enter_context(surroundings(loaded.definition, options))
        os.replace, os.rmdir = moment.watching("replace", os.replace), moment.watching("rmdir", os.rmdir)
        here.session = cast("SqlSession", Mortal(here.session, moment, "execute"))
        here.journals = MortalJournals(here.journals, moment)
        api.run_here(loaded, here, reporter=RecordingReporter())
    sys.exit(f"it never came to {what!r}")


def _apache_spark(stack: ExitStack, tables: Path) -> Any:
    sys.path.append(str(Path(__file__).parents[1]))
    from cluster import apache_spark

    return stack.enter_context(apache_spark("classic", tables)).spark


if __name__ == "__main__":
    main(*sys.argv[1:])
