"""Whether a process goes on: its number alone says nothing, and nobody is asked about other machines."""

import os
import subprocess
import sys

import pytest

from rowcall.engines.processes import is_there, this_process
from support import wait_until

SAY = "from rowcall.engines.processes import this_process; print(this_process(), flush=True); input()"


@pytest.fixture
def other() -> "subprocess.Popen[str]":
    process = subprocess.Popen([sys.executable, "-c", SAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def test_this_process_is_there():
    assert is_there(this_process())


def test_another_process_is_there_until_it_ends_and_not_only_until_somebody_asks_how(other: "subprocess.Popen[str]"):
    assert other.stdout is not None
    process = other.stdout.readline().strip()
    assert process != this_process()
    assert is_there(process)
    os.kill(other.pid, 9)
    wait_until(lambda: is_there(process) is False, 10)
    other.wait(30)
    assert is_there(process) is False


def test_a_later_process_with_the_same_number_is_another():
    machine, number, started = this_process().split(" ")
    assert is_there(f"{machine} {number} {int(started) - 1}") is False
    assert is_there(f"{machine} {number} ") is False


@pytest.mark.parametrize("process", ["", "x", "elsewhere 1 1", "elsewhere  ", "\x00 1 1"])
def test_of_other_machines_nothing_is_known(process: str):
    assert is_there(process) is None


@pytest.mark.parametrize("number", ["", "-1", "one", "1.5", "٣"])
def test_what_is_no_number_is_no_process(number: str):
    machine = this_process().split(" ")[0]
    assert is_there(f"{machine} {number} 1") in (None, False)
