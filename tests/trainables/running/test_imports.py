"""Imports without collections: what they leave is kept out of later ones, and a process is as it was after them."""

from __future__ import annotations

import gc

import pytest

from trainables.running.imports import uncollected_imports


@pytest.fixture(autouse=True)
def collector() -> object:
    """The tests' own process goes on as it was."""
    yield
    gc.unfreeze()
    gc.enable()


def test_nothing_is_collected_within_and_what_is_left_is_out_of_later_collections() -> None:
    gc.unfreeze()
    with uncollected_imports():
        assert not gc.isenabled()
    assert gc.isenabled() and gc.get_freeze_count() > 0


def test_an_import_that_fails_leaves_collections_on() -> None:
    with pytest.raises(ImportError), uncollected_imports():
        import no_module_of_this_name  # noqa: F401
    assert gc.isenabled()


def test_collections_that_were_off_stay_off() -> None:
    gc.disable()
    with uncollected_imports():
        pass
    assert not gc.isenabled()
