"""What can be wrong with a store, or with one artifact of it."""

from __future__ import annotations


class StoreUnusable(RuntimeError):
    """The store's file system refuses a read or a write, or does not answer: no fault of the stage that asked for it."""


class _OfOneArtifact(RuntimeError):
    def __init__(self, message: str, key: str = "") -> None:
        super().__init__(message)
        self.key = key


class CorruptArtifact(_OfOneArtifact):
    """An artifact's tensors do not have the hash its sidecar promises. It has been set aside: asked for again, it is made."""


class MissingArtifact(_OfOneArtifact):
    """A stage's input is not in the store, though the stage that makes it comes first."""
