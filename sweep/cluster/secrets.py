"""What looks like a secret in a cluster file, which is committed, copied to every node, and shown."""

from __future__ import annotations

import re

from sweep.cluster.check import Found
from sweep.cluster.files import Document

_SHAPES = {
    "an AWS access key": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b",
    "an AWS secret key": r"(?i)aws_secret_access_key\W{1,4}[\w/+=]{20,}",
    "a Ray token": r"RAY_AUTH_TOKEN=(?!\$)\S{8,}",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{20,}\b",
    "a GitHub token": r"\b(ghp|gho|ghs)_[A-Za-z0-9]{20,}\b|\bgithub_pat_\w{20,}\b",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password in an address": r"\b[a-z][a-z0-9+]*://[^/\s:@]+:[^/\s@]+@",
}


def secrets(document: Document) -> Found:
    """Each text that has a secret's shape; the secret itself is not repeated."""
    for place, text in document.texts():
        for name, shape in _SHAPES.items():
            if re.search(shape, text):
                yield place, f"{name} stands in the file", "take it out and make it anew: a file like this is shared"
