from __future__ import annotations

from pathlib import Path

import pytest

from finetune_api.exit_codes import ExitCode
from finetune_api.orders import POD_UID_VARIABLE
from finetune_trainer.claims import Claim
from finetune_trainer.failures import StoppedError


def test_a_claim_stands_until_another_pod_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POD_UID_VARIABLE, "first")
    first = Claim.take(tmp_path / "writer.json")
    first.require()
    monkeypatch.setenv(POD_UID_VARIABLE, "second")
    second = Claim.take(tmp_path / "writer.json")
    assert (first.stands, second.stands) == (False, True)
    with pytest.raises(StoppedError, match="another pod has gone on with this work") as caught:
        first.require()
    assert caught.value.exit_code is ExitCode.STOPPED


def test_a_claim_to_work_that_is_finished_does_not_stand(tmp_path: Path) -> None:
    claim = Claim.take(tmp_path / "writer.json")
    (tmp_path / "writer.json").unlink()
    assert not claim.stands


def test_processes_outside_of_pods_have_claims_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(POD_UID_VARIABLE, raising=False)
    first, second = (Claim.take(tmp_path / "writer.json") for _ in range(2))
    assert (first.stands, second.stands) == (False, True)


def test_a_damaged_claim_is_nobodys(tmp_path: Path) -> None:
    claim = Claim.take(tmp_path / "writer.json")
    (tmp_path / "writer.json").write_text("{")
    assert not claim.stands
