"""Looking for secrets where none may be: in texts and files, as they are, in base64, percent-encoded, or in Parquet."""

import base64
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pyarrow.parquet as pq


def leaks(secrets: Mapping[str, bytes], places: Iterable[tuple[str, bytes]]) -> list[str]:
    """`secret in place` for every secret that is found."""
    wanted = {name: spellings(secret) for name, secret in secrets.items()}
    return [
        f"{name} in {place}"
        for place, content in places
        for name, spelled in wanted.items()
        if any(one in text for text in (content, unquote_to_bytes(content)) for one in spelled)
    ]


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file under a folder; of Parquet files what their rows say, too."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        yield str(path), content
        if content[:4] == content[-4:] == b"PAR1":
            yield f"rows of {path}", repr(pq.ParquetFile(path).read().to_pylist()).encode()


def spellings(secret: bytes) -> set[bytes]:
    """The secret, and what all base64 of a text has in common in which it stands."""
    found = {secret}
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + secret)
        whole = coded[4 if before else 0 : (before + len(secret)) // 3 * 4]
        found |= {whole, whole.replace(b"+", b"-").replace(b"/", b"_")}
    return found
