"""`make soak`: see `soak.py`. Left out where no time is given for it."""

import os
import random
import sys
from functools import partial
from pathlib import Path

import pytest

from soak import SECONDS_TO_FINISH, soak

SECONDS = float(os.environ.get("SOAK_SECONDS", "0"))
SEED = int(os.environ.get("SOAK_SEED", random.randrange(1_000_000)))


@pytest.mark.skipif(not SECONDS, reason="make soak")
@pytest.mark.timeout(SECONDS + SECONDS_TO_FINISH + 120)
def test_every_key_is_answered_once_however_often_the_run_is_killed(tmp_path: Path):
    soak(tmp_path, SECONDS, SEED, partial(print, file=sys.stderr, flush=True))
