"""The id of a run on the durable agent server, chosen by the client: the same question again finds the same run (FACTS 2.1)."""

from uuid import UUID, uuid5

_ROWCALL = UUID("6f8c1c1e-6b0e-5f43-9d0c-0d3f3c2b7a51")


def invocation_id(job: str, key: str, request_hash: str, again: str = "") -> str:
    """A UUIDv5 of what is asked. `key` is the row's key as text; `again` tells apart what must be another run: one after a failed
    one, or with another text."""
    return str(uuid5(_ROWCALL, "\n".join((job, key, request_hash, *([again] if again else [])))))
