"""The notice that a spot node will be taken: heard from a service that speaks the clouds' protocol, on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from metadata import Metadata, metadata

from sweep.cluster.__main__ import main
from sweep.cluster.drain import METADATA, NOTICES, aws_notice, gcp_notice, wait


@pytest.fixture
def service() -> Iterator[Metadata]:
    with metadata() as server:
        yield server


def test_aws_is_asked_by_imdsv2_and_says_how_long_is_left(service: Metadata) -> None:
    assert aws_notice(service.url) is None
    service.take(90)
    left = aws_notice(service.url)
    assert left is not None and 85 < left <= 90
    assert service.asked == ["PUT /latest/api/token", "GET /latest/meta-data/spot/instance-action"] * 2


def test_google_is_asked_with_its_header(service: Metadata) -> None:
    assert gcp_notice(service.url) is None
    service.take(90)
    assert gcp_notice(service.url) == 30


@pytest.mark.parametrize("provider", ["aws", "gcp"])
def test_a_service_that_fails_is_asked_again(
    service: Metadata, provider: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service.failures = 3
    service.take(60)
    assert wait(lambda: NOTICES[provider](service.url), 0.01) > 0
    assert capsys.readouterr().err.count("asking again") == 1, "the same failure is said once"


def test_a_proxy_of_the_environment_is_not_asked(service: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert aws_notice(service.url) is None


def test_the_address_is_link_local_and_can_be_given() -> None:
    assert METADATA == "http://169.254.169.254"
    with pytest.raises(SystemExit):
        main(["drain", "--provider", "azure"])


def test_without_the_heads_address_it_is_one_line(
    service: Metadata, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert main(["drain", "--provider", "aws", "--metadata", service.url]) == 2
    assert capsys.readouterr().err.startswith("error: --gcs HOST:PORT is needed")


def test_a_head_that_does_not_answer_ends_with_the_node(service: Metadata) -> None:
    """AWS takes the node in a second; by then there is nothing left to drain, and the watcher says so."""
    service.take(1)
    command = [sys.executable, "-m", "sweep.cluster", "drain", "--provider", "aws", "--metadata", service.url]
    begun = time.monotonic()
    done = subprocess.run(
        [*command, "--gcs", "127.0.0.1:9", "--node-id", "f" * 56],
        env=os.environ | {"RAY_gcs_rpc_server_connect_timeout_s": "1", "RAY_gcs_server_request_timeout_seconds": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2 and "Ray didn't take the notice" in done.stderr, done.stderr
    assert time.monotonic() - begun < 100
