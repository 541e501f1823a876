"""Hashes of a pipeline's files: of all it is made of, and of those that prompts are encoded by."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from trainables.denoisers.parts import PARTS, all_files, files_of
from trainables.denoisers.recipes import Pretrained


def hashed(pretrained: Pretrained) -> Pretrained:
    """The same with the SHA-256 of all files it is made of, names included; and of those that prompts are encoded by."""
    root = Path(pretrained.folder)
    digests = {file: _sha256(file) for file in all_files(root, pretrained.kind)}
    encoders = _text_files(root, pretrained.kind)
    text = _together(root, {file: digests[file] for file in encoders}) if encoders else ""
    return replace(pretrained, digest=_together(root, digests), text_digest=text)


def text_digest_of(pretrained: Pretrained) -> str:
    """The SHA-256 of the files that prompts are encoded by, as they are in the pipeline's folder now: its `text_digest`."""
    root = Path(pretrained.folder)
    return _together(root, {file: _sha256(file) for file in _text_files(root, pretrained.kind)})


def _text_files(root: Path, kind: str) -> list[Path]:
    parts = PARTS[kind]
    return files_of(root, {name: parts[name] for name in parts if name.startswith(("text_encoder", "tokenizer"))})


def _sha256(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _together(root: Path, digests: dict[Path, bytes]) -> str:
    """One digest of files, by where they lie in the pipeline and what they hold."""
    digest = hashlib.sha256()
    for file, of_file in digests.items():
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode())
        digest.update(of_file)
    return digest.hexdigest()
