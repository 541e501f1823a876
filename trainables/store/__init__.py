"""The artifact store: how products are found and kept, and the code versions that are part of their keys.

Nothing in this room makes a figure, so an import of it stands as a constant in every code version (`trainables.store.code`).
"""

from trainables.store.code import code_version, machine
from trainables.store.errors import CorruptArtifact, MissingArtifact, StoreUnusable
from trainables.store.store import READ_WITH, RESTS_ON, Artifact, Store, StoredFile, Tensors, artifact_key, is_key
from trainables.store.tensor_file import TensorFile

__all__ = [
    "READ_WITH",
    "RESTS_ON",
    "Artifact",
    "CorruptArtifact",
    "MissingArtifact",
    "Store",
    "StoreUnusable",
    "StoredFile",
    "TensorFile",
    "Tensors",
    "artifact_key",
    "code_version",
    "is_key",
    "machine",
]
