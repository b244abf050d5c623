"""Which process of which machine says something in a journal, and whether it is still there."""

import os
import socket
from pathlib import Path

_PROCESSES = Path("/proc")


def this_process() -> str:
    """What tells this process from all others: of other machines, containers and users, and from later ones with its number."""
    return f"{_machine()} {os.getpid()} {_started(os.getpid()) or ''}"


def is_there(process: str) -> bool | None:
    """Whether a process goes on; None where that cannot be known from here."""
    machine, _, rest = process.partition(" ")
    number, _, started = rest.partition(" ")
    if machine != _machine() or not number.isdecimal():
        return None
    if not _knows_processes():
        return _answers(int(number))
    return bool(started) and _started(int(number)) == started


def is_gone(process: str) -> bool:
    """Whether a process is known to have ended."""
    return is_there(process) is False


def _machine() -> str:
    """Where a process number means the same. Machines and containers may share a name, and a machine several containers."""
    if not _knows_processes():
        return f"{socket.gethostname().replace(' ', '-')}/{getattr(os, 'getuid', int)()}"
    boot = (_PROCESSES / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{(_PROCESSES / 'self/ns/pid').readlink()}/{os.getuid()}"


def _knows_processes() -> bool:
    return all((_PROCESSES / part).exists() for part in ("sys/kernel/random/boot_id", "self/ns/pid", "self/stat"))


def _started(number: int) -> str | None:
    """When a process started, in ticks of its machine; None where there is none, or one that has ended and is not cleared away."""
    try:
        said = (_PROCESSES / str(number) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name of the program, in parentheses, may hold anything.
    state, *fields = said.rpartition(")")[2].split()
    return None if state in ("Z", "X") else fields[18]


def _answers(number: int) -> bool | None:
    """False where there is no such process. One that is there may be another with the same number."""
    if os.name == "nt":
        return None  # there, asking with a signal would end it
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return None
    return None
