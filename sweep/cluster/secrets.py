"""What looks like a secret in a cluster file, which is committed, copied to every node, and shown."""

from __future__ import annotations

import re

from sweep.cluster.check import Found
from sweep.cluster.files import Document
from sweep.plan.credentials import SHAPES


def secrets(document: Document) -> Found:
    """Each text that has a secret's shape; the secret itself is not repeated."""
    for place, text in document.texts():
        for name, shape in SHAPES.items():
            if re.search(shape, text):
                yield place, f"{name} stands in the file", "take it out and make it anew: a file like this is shared"
