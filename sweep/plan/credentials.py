"""What has the shape of a secret: in a cluster file, or in an option that the plan, the records and the terminal would repeat."""

from __future__ import annotations

import argparse
import re

from sweep.errors import UsageError

SHAPES = {
    "an AWS access key": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "an AWS secret key": r"(?i)aws_secret_access_key\W{1,4}[\w/+=]{20,}",
    "a Ray token": r"RAY_AUTH_TOKEN=(?!\$)\S{8,}",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{20,}\b",
    "a GitHub token": r"\b(ghp|gho|ghs)_[A-Za-z0-9]{20,}\b|\bgithub_pat_\w{20,}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    # An AWS secret key may hold a slash, so what stands before the @ is not cut off at one.
    "a password in an address": r"\b[a-z][a-z0-9+.-]*://[^/?#\s@]*:[^?#\s]*@",
    "a password in an address's options": (
        r"(?i)://\S*[?&;]([\w.-]*(password|passwd|secret|token|access_key|account_key)[\w.-]*|pwd|sig)=[^&;\s]"
    ),
}


def secret_in(text: str) -> str | None:
    """What kind of secret stands in the text, or None. The secret itself is not repeated."""
    return next((name for name, shape in SHAPES.items() if re.search(shape, text)), None)


def refuse(args: argparse.Namespace) -> None:
    """UsageError for the first option with a secret in it, which the run folder would keep."""
    for name, value in vars(args).items():
        for text in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(text, str) and (what := secret_in(text)):
                raise UsageError(
                    f"--{name.replace('_', '-')}: holds {what}, which plan, records and terminal would repeat; leave it out, "
                    "and give it in the environment or by the node's role"
                )
