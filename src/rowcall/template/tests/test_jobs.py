"""Every job of this project, run on this machine against rowcall's sandbox: no account, nothing paid."""

from pathlib import Path

import pytest

import rowcall

ROOT = Path(__file__).parents[1]
JOBS = sorted(ROOT.glob("jobs/*.yml"))


@pytest.mark.parametrize("job", JOBS, ids=lambda path: path.stem)
def test_every_row_is_answered_and_paid_once(job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    here = rowcall.Options(home=tmp_path, sandbox=True)
    first = rowcall.run(job, options=here).check()
    assert (first.ok, first.failed) == (first.pending_rows, 0)
    assert rowcall.run(job, options=here).check().asked == 0
