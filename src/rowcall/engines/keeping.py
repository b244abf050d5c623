"""Making what is finished durable."""

from collections.abc import Sequence

from rowcall.core.overflow import overflow
from rowcall.core.ports import Journal
from rowcall.core.segments import Finished, segment


def keep(journal: Journal, name: str, finished: Sequence[Finished]) -> None:
    """Write finished calls to the journal: first what is too long for their spans, so that no span says it is where it is not."""
    too_long = overflow(finished)
    if too_long is not None:
        journal.write_overflow(name, too_long)
    journal.write_segment(name, segment(finished))
