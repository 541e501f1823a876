"""Bad inputs to every command: one line that names the thing, exit code 2, and no byte on the disk is another afterwards.

With those of a launch's plan in test_launch.py there are over a hundred. Here are the other commands', damaged run folders, weights
and pictures that are none, and what the parser itself refuses.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_launch import MISTAKES, TINY

from sweep.plan.folders import create_run_dir
from sweep.plan.plan import Plan

QUICK = str(Path(TINY).with_name("quick.py"))
SPACE = ("--space", TINY)

BAD: dict[str, tuple[str, list[str], str]] = {
    # what the parser itself refuses
    "launch: a flag misspelt": ("launch", [*SPACE, "--trails", "3"], "unrecognized arguments: --trails"),
    "launch: trials that are no number": ("launch", [*SPACE, "--trials", "many"], "invalid int value: 'many'"),
    "launch: a value left out": ("launch", [*SPACE, "--sampler"], "expected one argument"),
    "launch: a log format that is none": ("launch", [*SPACE, "--log-format", "xml"], "invalid choice: 'xml'"),
    "launch: a flag that is two": ("launch", [*SPACE, "--conf", "3"], "could match"),
    "track: seeds that are no number": ("track", ["--methods", "dimum", "--seeds", "x"], "invalid int value: 'x'"),
    "track: one to compare": ("track", ["compare", "run"], "arguments are required: B"),
    "pareto: no run": ("pareto", [], "arguments are required: RUN"),
    "pareto: a format that is none": ("pareto", ["run", "--format", "yaml"], "invalid choice: 'yaml'"),
    "query: a format that is none": ("query", ["run", "SELECT 1", "--format", "xls"], "invalid choice: 'xls'"),
    "query: two things at once": ("query", ["run", "--schema", "--export", "x"], "not allowed with argument"),
    "report: a port that is no number": ("report", ["run", "--live", "--port", "http"], "invalid int value"),
    "compact: no run": ("compact", [], "arguments are required: RUN"),
    "repair: no run": ("repair", [], "arguments are required: RUN"),
    "export: no trial": ("export", ["run"], "arguments are required: TRIAL"),
    # numbers out of their range
    "launch: no workers": ("launch", [*SPACE, "--workers", "0"], "--workers 0: must be at least 1"),
    "launch: a timeout below zero": ("launch", [*SPACE, "--trial-timeout", "-1"], "--trial-timeout -1.0: must be"),
    "launch: a timeout without end": ("launch", [*SPACE, "--trial-timeout", "inf"], "must be finite"),
    "launch: hours below zero": ("launch", [*SPACE, "--max-hours", "-2"], "--max-hours -2.0: must be at least 0"),
    "launch: too many seeds": ("launch", [*SPACE, "--confirm-seeds", "501"], "--confirm-seeds 501: at most 500"),
    "launch: no members": ("launch", [*SPACE, "--confirm-members", "0"], "must be at least 1"),
    "launch: one image a condition": ("launch", [*SPACE, "--samples-per-retained", "1"], "must be at least 2"),
    "launch: a base of no steps": ("launch", [*SPACE, "--base-steps", "0"], "--base-steps 0: must be at least 1"),
    "launch: a gain that tpe cannot tell": ("launch", [*SPACE, "--sampler", "tpe", "--min-gain", ".1"], "--min-gain"),
    "launch: confirm without a run": ("launch", [*SPACE, "--confirm", "dimum-0000"], "name it with --resume"),
    "launch: a budget without end": ("launch", [*SPACE, "--fid-budget", "inf"], "--fid-budget inf"),
    "launch: an image of no pixels": ("launch", [*SPACE, "--image-size", "-4"], "--image-size -4"),
    "launch: no images": ("launch", [*SPACE, "--data-limit", "-1"], "--data-limit -1"),
    "launch: a seed past its range": ("launch", [*SPACE, "--seed", "2147483648"], "--seed 2147483648"),
    # what is forgotten
    "launch: forgetting everything": ("launch", [*SPACE, "--forget", "0,1,2,3,4,5,6,7,8,9"], "--forget"),
    "launch: forgetting a word": ("launch", [*SPACE, "--forget", "three"], "three"),
    "launch: an attribute that is none": ("launch", [*SPACE, "--data", "digits_attributes", "--forget", "attribute:hat"], "hat"),
    "launch: an image that is not there": (
        "launch", [*SPACE, "--data", "digits_duplicated", "--forget", "instances:999999"], "999999"),
    # spaces
    "launch: a folder as a space": ("launch", ["--space", "folder.py"], "folder.py"),
    "launch: a space that is a picture": ("launch", ["--space", "picture.py"], "does not import"),
    "launch: a space whose SPACE is a word": ("launch", ["--space", "word.py"], "word.py"),
    "launch: a rung below zero": ("launch", ["--space", "rungs.py"], "rung"),
    "launch: an arm twice": ("launch", ["--space", "twice.py"], "dimum"),
    # run folders
    "launch: resume of a plan whose space has changed": ("launch", ["--resume", "changed"], "has changed since this run began"),
    "launch: resume with another budget": ("launch", ["--resume", "run", "--fid-budget", "3"], "the run's own plan holds"),
    "launch: resume with another sampler": ("launch", ["--resume", "run", "--sampler", "random"], "the run's own plan holds"),
    "launch: resume of a run that another drives": ("launch", ["--resume", "driven", "--in-process"], "another driver"),
    "launch: a warm start from nowhere": ("launch", [*SPACE, "--warm-start", "nowhere"], "nowhere: does not exist"),
    "launch: a target that is no trial": (
        "launch", ["--space", "dimra_strength", "--target", "recorded:dimum-9999"], "dimum-9999"),
    "track: resume of a sweep": ("track", ["--resume", "run"], "is not a track's folder"),
    "track: nothing to run": ("track", ["--forget", "3"], "--methods NAME … is needed"),
    "track: an attack that is none": ("track", ["--methods", "dimum", "--attacks", "dimraa"], "dimraa"),
    "track: a method that is none": ("track", ["--methods", "dimumm"], "dimumm"),
    "track: steps that are no rung": ("track", ["--methods", "dimum", "--steps", "100"], "--steps 100"),
    "track: compare with a sweep": ("track", ["compare", "run", "run"], "run"),
    "pareto: a folder without a plan": ("pareto", ["folder.py"], "is not a run folder"),
    "pareto: a plan without a record": ("pareto", ["run"], "run"),
    "query: SQL that is none": ("query", ["recorded", "SELEC 1"], "SQL"),
    "query: a table that is none": ("query", ["recorded", "SELECT * FROM trails"], "trails"),
    "query: a file of the disk": ("query", ["recorded", "SELECT * FROM '/etc/passwd'"], "SQL"),
    "query: no SQL": ("query", ["recorded"], "name a run and then what to ask of it"),
    "query: writing where nothing can be": ("query", ["recorded", "SELECT 1", "-o", "picture.py/x"], "cannot be written"),
    "query: a run's own plan written over": (
        "query", ["recorded", "SELECT 1", "-o", "recorded/plan.json"], "is a file of the run"),
    "query: a run's records written over": (
        "query", ["recorded", "SELECT 1", "-o", "recorded/records/trials/x.csv"], "is a file of the run"),
    "query: an empty name to write to": ("query", ["recorded", "SELECT 1", "-o", ""], "-o .: is a folder"),
    "query: an empty name to export to": ("query", ["recorded", "--export", ""], "--export: name a folder"),
    "query: an export with a file beside": ("query", ["recorded", "--export", "x", "-o", "y"], "--export names its own"),
    "query: two statements": ("query", ["recorded", "SELECT 1; SELECT 2"], "more than one statement"),
    "query: a table made": ("query", ["recorded", "CREATE TABLE x AS SELECT 1"], "ask with SELECT"),
    "query: two columns of one name": (
        "query", ["recorded", "SELECT 1 AS a, 2 AS a", "--format", "json"], "two columns are called a"),
    "query: what Parquet has no word for": (
        "query", ["recorded", "SELECT INTERVAL 3 DAY AS a", "--format", "parquet", "-o", "x"], "cast it in the SQL"),
    "report: a page written over a run's plan": ("report", ["recorded", "-o", "recorded/plan.json"], "is a file of the run"),
    "report: a page that is a folder": ("report", ["recorded", "-o", "folder.py"], "is a folder; name a file in it"),
    "report: a picture in the caption's place": ("report", ["recorded", "--pdf", "x.txt"], "is to end with .pdf"),
    "report: pixels called vectors": ("report", ["recorded", "--png", "x.pdf"], "is to end with .png"),
    "report: a page beside a picture": ("report", ["recorded", "--png", "x.png", "-o", "x.html"], "leave it out beside"),
    "report: two pictures of two runs": ("report", ["recorded", "recorded", "--png", "x.png"], "are of one run"),
    "report: a port without --live": ("report", ["recorded", "--port", "80"], "is of --live"),
    "report: live and a file": ("report", ["recorded", "--live", "-o", "x.html"], "writes no file"),
    "compact: a folder that is no run": ("compact", ["folder.py"], "is not a run folder"),
    "compact: a run that another drives": ("compact", ["driven"], "another driver"),
    "repair: a plan that is cut off": ("repair", ["cut"], "cannot be read as JSON"),
    "repair: a plan that is a list": ("repair", ["list"], "not a plan of this version"),
    "pareto: a plan that is a list": ("pareto", ["list"], "plan.json: not a plan of this version"),
    "launch: resume of a plan that is a list": ("launch", ["--resume", "list"], "not a plan of this version"),
    "pareto: a procedure that is not here": ("pareto", ["tossed"], "plan.json: procedure 'tossed': unknown"),
    "launch: resume of a procedure that is not here": ("launch", ["--resume", "tossed"], "procedure 'tossed': unknown"),
    "pareto: a procedure that is a path": ("pareto", ["outside"], "procedure '../../evil': unknown"),
    "pareto: a procedure that is no word": ("pareto", ["numbered"], "procedure 3 is no name of one"),
    "pareto: a procedure that is a list": ("pareto", ["listed"], "procedure ['x'] is no name"),
    "launch: no such space and a flag of another procedure": (
        "launch", ["--space", "nosuch", "--heads", "3"], "--space nosuch: no such space"),
    "launch: a warm start from a run whose bounds are lost": (
        "launch", [*SPACE, "--warm-start", "unprepared"], "it has no prepared.json"),
    "repair: a run that another drives": ("repair", ["driven"], "another driver"),
    "repair: a track": ("repair", ["a_track"], "is a track"),
    "export: a trial that is none": ("export", ["recorded", "dimum-9999", "-o", "model"], "no trial dimum-9999"),
    "export: a trial that failed": ("export", ["recorded", "dimum-0005", "-o", "model"], "dimum-0005"),
    "export: a seed that is none": ("export", ["recorded", "dimum-0000", "--replicate", "9", "-o", "m"], "no replicate 9"),
    "export: a folder that holds files": ("export", ["recorded", "dimum-0000", "-o", "folder.py"], "not an empty folder"),
    "export: no folder": ("export", ["recorded", "dimum-0000"], "name one new folder"),
    "release: a trial that is none": ("release", ["recorded", "dimum-9999", "-o", "rows"], "no trial dimum-9999"),
    "release: a trial that spends no ε": (
        "release", ["recorded", "dimum-0000", "-o", "rows"], "a trial of relearning spends no ε that a release could keep; save"),
    "release: no folder": ("release", ["recorded", "dimum-0000"], "name one new folder"),
    # weights and pictures
    "launch: weights that are a text": (
        "launch", [*SPACE, "--fid-features", "inception", "--inception-weights", "word.py"], "SHA-256"),
    "launch: weights that are a folder": (
        "launch", [*SPACE, "--fid-features", "inception", "--inception-weights", "folder.py"], "no such file"),
    "launch: pickled weights of a pipeline": ("launch", [*SPACE, "--base", "pickled"], "its weights are pickles"),
    "launch: a pipeline with code of its own": ("launch", [*SPACE, "--base", "custom"], "is none of DDPMPipeline"),
    "launch: a pipeline whose index is a list": ("launch", [*SPACE, "--base", "indexed"], "indexed"),
    "launch: pictures that are texts": (
        "launch", [*SPACE, "--data", "image_folder", "--data-folder", "texts", "--forget", "0"], "texts"),
    "launch: a picture that is cut off": (
        "launch", [*SPACE, "--data", "image_folder", "--data-folder", "cut_pictures", "--forget", "0"], "cut_pictures"),
    "launch: a folder without pictures": (
        "launch", [*SPACE, "--data", "image_folder", "--data-folder", "bare", "--forget", "0"], "bare"),
    "launch: IDX files that are none": (
        "launch", [*SPACE, "--data", "mnist", "--data-folder", "texts", "--forget", "0"], "texts"),
    "launch: CIFAR-10 that is none": (
        "launch", [*SPACE, "--data", "cifar10", "--data-folder", "bare", "--forget", "0"], "bare"),
    "launch: a data folder of embedded data": ("launch", [*SPACE, "--data-folder", "bare"], "is embedded"),
    "launch: nothing to leave out": ("launch", [*SPACE, "--skip-unreadable"], "--data digits: is embedded: there is no picture"),
    "launch: a data folder that is not UTF-8": (
        "launch", [*SPACE, "--data", "image_folder", "--data-folder", "caf\udce9"], "'caf\\udce9' is not UTF-8; rename it"),
    "launch: leaving pictures out of a run that goes on": (
        "launch", ["--resume", "run", "--skip-unreadable"], "--skip-unreadable beside --resume"),
    "track: nothing to leave out": (
        "track", ["--methods", "dimum", "--skip-unreadable"], "--data digits: is embedded: there is no picture"),
    "launch: every picture unreadable": (
        "launch", [*SPACE, "--data", "image_folder", "--data-folder", "texts", "--forget", "0", "--skip-unreadable"], "texts"),
    "launch: a data set that is none": ("launch", [*SPACE, "--data", "digit"], "did you mean 'digits'"),
    # models and figures
    "launch: a judge that is none": ("launch", [*SPACE, "--judge", "clasifier"], "did you mean 'classifier'"),
    "launch: a judge of single images for a class": ("launch", [*SPACE, "--judge", "copies"], "cannot tell conditions"),
    "track: a judge that is none": ("track", ["--methods", "dimum", "--judge", "copy"], "did you mean 'copies'"),
    "track: a judge of single images": ("track", ["--methods", "dimum", "--judge", "copies"], "cannot tell conditions"),
    "launch: a feature network that is none": ("launch", [*SPACE, "--fid-features", "vgg"], "--fid-features vgg: unknown"),
    "launch: an image sampler that is none": ("launch", [*SPACE, "--image-sampler", "euler"], "euler"),
    "launch: no sampling steps": ("launch", [*SPACE, "--sampling-steps", "0"], "sampling steps must be from 1"),
    "launch: steps that begin half-way": ("launch", [*SPACE, "--sampling-steps", "501"], "take 500"),
    "launch: guidance below zero": ("launch", [*SPACE, "--guidance", "-1"], "guidance must be 0 or"),
    "launch: guidance that is no number": ("launch", [*SPACE, "--guidance", "nan"], "guidance must be 0 or"),
    "launch: guidance without conditions": (
        "launch", [*SPACE, "--data", "digits_duplicated", "--forget", "instances:0", "--guidance", "2"], "no conditions"),
    "launch: a base size that is none": ("launch", [*SPACE, "--base-size", "huge"], "--base-size huge"),
    "launch: a control of nothing": ("launch", [*SPACE, "--retrain-control", "pipe"], "give it with --base"),
    "launch: a revision of nothing": ("launch", [*SPACE, "--base-revision", "main"], "give it with --base"),
    "launch: classes of nothing": ("launch", [*SPACE, "--base-classes", "0,1"], "give it with --base"),
    "launch: classes in words": ("launch", [*SPACE, "--base-classes", "cat,dog"], "write whole numbers"),
    "launch: shadow models below zero": ("launch", [*SPACE, "--shadow-models", "-1"], "--shadow-models -1"),
    "launch: shadow models of a pipeline": (
        "launch", [*SPACE, "--base", "odd", "--shadow-models", "2"], "trained elsewhere"),
    "launch: no samples": ("launch", [*SPACE, "--samples-forgotten", "0"], "--samples-forgotten 0"),
    "launch: a pipeline of Fourier features": ("launch", [*SPACE, "--base", "fourier"], "time_embedding_type 'fourier'"),
    "launch: a pipeline of too few betas": ("launch", [*SPACE, "--base", "betas"], "2 trained_betas for 1000"),
    "launch: a pipeline of a word for a number": ("launch", [*SPACE, "--base", "worded"], "in_channels is '1'"),
    "launch: shards in a list": ("launch", [*SPACE, "--base", "sharded"], "it has no weight_map"),
    # what is searched, and for how long
    "launch: a margin below zero": ("launch", [*SPACE, "--gate-margin", "-1"], "--gate-margin -1.0: must be at least 0"),
    "launch: a margin that is no number": ("launch", [*SPACE, "--gate-margin", "nan"], "--gate-margin nan"),
    "launch: neighbours below zero": ("launch", [*SPACE, "--confirm-neighbours", "-1"], "must be at least 0"),
    "launch: baseline trials below zero": ("launch", [*SPACE, "--baseline-trials", "-1"], "must be at least 0"),
    "launch: no trials": ("launch", [*SPACE, "--trials", "0"], "--trials 0: must be at least 1"),
    "launch: core-hours below zero": ("launch", [*SPACE, "--max-core-hours", "-1"], "must be at least 0"),
    "launch: hours that are no number": ("launch", [*SPACE, "--max-hours", "nan"], "--max-hours nan"),
    "launch: a gain below zero": ("launch", [*SPACE, "--min-gain", "-0.1"], "must be at least 0"),
    "launch: half a seed": ("launch", [*SPACE, "--seed", "1.5"], "invalid int value: '1.5'"),
    "launch: a sampler that is none": ("launch", [*SPACE, "--sampler", "tpee"], "did you mean 'tpe'"),
    "launch: a pin without a value": ("launch", [*SPACE, "--fix", "steps"], "write NAME=VALUE"),
    "launch: a parameter pinned twice": (
        "launch", [*SPACE, "--fix", "steps=3", "--fix", "steps=4"], "--fix steps: is given twice"),
    "launch: a pin of no parameter": ("launch", [*SPACE, "--fix", "stepz=10"], "no such parameter"),
    "launch: a pin of no arm": ("launch", [*SPACE, "--fix", "method=dimun"], "no arm of method 'dimun'"),
    "launch: a pin to baselines alone": ("launch", [*SPACE, "--fix", "method=label_swap"], "only baselines are left"),
    "launch: a target where methods are searched": ("launch", [*SPACE, "--target", "esd"], "searches methods, not attacks"),
    "launch: a target that is no method": ("launch", ["--space", "dimra_strength", "--target", "esdd"], "esdd"),
    # questions
    "launch: an objective that is no figure": ("launch", ["--space", "metric.py"], "metric robustnes: unknown"),
    "launch: a procedure that is none": ("launch", ["--space", "procedure.py"], "procedure 'coins': unknown"),
    "launch: a word that is no bound": ("launch", ["--space", "budget.py"], "'fid_budgt' is no bound; write a number"),
    "launch: a setting that a method lacks": ("launch", ["--space", "setting.py"], "has no setting"),
    "launch: a value that a method refuses": ("launch", ["--space", "refused.py"], "must be from 0 to 1"),
    "launch: a setting that an attack lacks": ("launch", ["--space", "attacking.py"], "has no setting"),
    "launch: a question without attacks": ("launch", ["--space", "unattacked.py"], "a suite needs an attack that counts"),
    "launch: a question without rungs": ("launch", ["--space", "rungless.py"], "rungs []: name the steps"),
    # members from outside
    "launch: members that are nowhere": ("launch", [*SPACE, "--members", "nowhere"], "nowhere: no such file or folder"),
    "launch: members that are a text": ("launch", [*SPACE, "--members", "picture.png.txt"], "is no .py file"),
    "launch: members in a folder without any": ("launch", [*SPACE, "--members", "bare"], "holds no file of members"),
    "launch: members named by nothing": ("launch", [*SPACE, "--members", ""], "--members '': names nothing"),
    "launch: members that register nothing": (
        "launch", [*SPACE, "--members", "members/idle.py"], "idle.py: registers no member"),
    "launch: members that do not import": (
        "launch", [*SPACE, "--members", "members/broken.py"], "broken.py does not import: ZeroDivisionError: division by zero"),
    "launch: members that are no Python": ("launch", [*SPACE, "--members", "picture.py"], "picture.py does not import"),
    "launch: members with a library that is not here": (
        "launch", [*SPACE, "--members", "members/library.py"], "ModuleNotFoundError: No module named 'no_such_library'"),
    "launch: a member of a shipped one's name": (
        "launch", [*SPACE, "--members", "members/kid.py"], "the metric 'kid' is already registered by"),
    "launch: two members of one name": (
        "launch", [*SPACE, "--members", "members/mine.py", "--members", "members/mine_too.py"],
        "the metric 'mine' is already registered by"),
    "launch: a member that the question has too": (
        "launch", ["--space", "asking.py", "--members", "members/mine.py"], "the metric 'mine' is already registered by"),
    "launch: a question with a shipped one's name": (
        "launch", ["--space", "asking_kid.py"], "--space asking_kid.py: the metric 'kid' is already registered by"),
    "launch: two files of one name": (
        "launch", [*SPACE, "--members", "members/mine.py", "--members", "others/mine.py"], "have one name; rename one"),
    "launch: members with a name that no module has": (
        "launch", [*SPACE, "--members", "members/two-words.py"], "a name of letters, digits and '_'"),
    "launch: a question with members and a name that no module has": (
        "launch", ["--space", "asking-two.py"], "a name of letters, digits and '_'"),
    "launch: members in a file of the question's name": (
        "launch", ["--space", "asking.py", "--members", "others/asking.py"], "have one name; rename one"),
    "launch: members that import a file beside them": (
        "launch", [*SPACE, "--members", "members/beside.py"], "imports mine, a file beside it"),
    "launch: members that import what is not among them": (
        "launch", [*SPACE, "--members", "members/lonely.py"], "imports ._gone, which is not beside it"),
    "launch: a figure of a shipped one's name": (
        "launch", [*SPACE, "--members", "members/figure.py"], "figure 'kid' is declared in another file too"),
    "launch: a figure over no samples": (
        "launch", [*SPACE, "--members", "members/over.py"], "over 'retain' is none of"),
    "launch: a method that is not among the members": (
        "launch", ["--space", "method_mine.py", "--members", "members/mine.py"], "mine: unknown"),
    "launch: members beside a resume": (
        "launch", ["--resume", "run", "--members", "members/mine.py"], "--members beside --resume: the run's own plan holds"),
    "launch: resume of a run whose members are gone": ("launch", ["--resume", "robbed"], "mine.py: is gone"),
    "launch: resume of a run whose members lie elsewhere": ("launch", ["--resume", "led"], "is no file's name"),
    "launch: resume of a run whose members are a number": ("launch", ["--resume", "counted"], "not a plan of this version"),
    "repair: a run whose members are gone": ("repair", ["robbed"], "mine.py: is gone"),
    "track: members that are nowhere": (
        "track", ["--methods", "dimum", "--members", "nowhere"], "nowhere: no such file or folder"),
    "track: a member of a shipped one's name": (
        "track", ["--methods", "dimum", "--members", "members/kid.py"], "the metric 'kid' is already registered by"),
    # tracks
    "track: a model that is nowhere": ("track", ["--model", "nowhere"], "nowhere"),
    "track: a sweep that confirmed nothing": ("track", ["--from", "run"], "run"),
    "track: a class that is none": ("track", ["--methods", "dimum", "--forget", "cat"], "cat"),
    "track: a setting that a method lacks": ("track", ["--methods", "dimum", "--fix", "colour=3"], "colour"),
    "track: no seeds": ("track", ["--methods", "dimum", "--seeds", "0"], "--seeds 0: must be at least 1"),
    "gc: a run that is nowhere": ("gc", ["nowhere"], "nowhere"),
}  # fmt: skip
# Of launches and tracks each is refused in a dry run too: what that lets pass, runs.
DRY = [
    name
    for name, (command, args, said) in BAD.items()
    if command in ("launch", "track") and args[:1] != ["compare"] and said != "another driver"
]


def test_there_are_enough_of_them() -> None:
    assert len(BAD) + len(MISTAKES) >= 200


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("bad")
    tiny = Path(TINY).read_text()
    (folder / "folder.py").mkdir()
    (folder / "folder.py" / "kept").write_text("")
    Image.new("L", (8, 8)).save(folder / "picture.png")
    (folder / "picture.png").rename(folder / "picture.py")
    (folder / "word.py").write_text('SPACE = "tiny"\n')
    (folder / "rungs.py").write_text(tiny.replace("rungs=(0, 1, 3)", "rungs=(0, -1, 3)"))
    (folder / "twice.py").write_text(tiny.replace('"label_swap", "label_swap"', '"dimum", "label_swap"'))
    _questions(folder, tiny)
    _members(folder, tiny)
    _runs(folder, tiny)
    _pipelines(folder)
    _pictures(folder)
    with open(folder / "driven" / ".driver.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _questions(folder: Path, tiny: str) -> None:
    """Each is the tiny question with one thing wrong."""
    changes = {
        "metric": ('Objective("robustness"', 'Objective("robustnes"'),
        "procedure": ("rungs=", 'procedure="coins", rungs='),
        "budget": ('"fid_budget"', '"fid_budgt"'),
        "setting": ('"label_swap", FINE_TUNING', '"label_swap", (Int("stepps", 2, 8), *FINE_TUNING)'),
        "refused": ('"label_swap", FINE_TUNING', '"label_swap", (Float("forget_share", 0.5, 1.5), *FINE_TUNING)'),
        "attacking": ('"batch": 8}),)', '"bacth": 8}),)'),
        "unattacked": ("search_attacks=(Attack(", "search_attacks=() and (Attack("),
        "rungless": ("rungs=(0, 1, 3)", "rungs=()"),
    }
    for name, (old, new) in changes.items():
        assert old in tiny, name
        (folder / f"{name}.py").write_text(tiny.replace(old, new))


def _members(folder: Path, tiny: str) -> None:
    """Files of members with one thing wrong, or none where it is in how they are named together."""
    text = "from trainables.metrics import Figure, register\n\n"
    text += '@register("NAME", (Figure("NAME", description="x"),))\ndef it(samples):\n    return {}\n'
    mine = text.replace("NAME", "mine")
    files = {
        "members/idle": "x = 1\n",
        "members/broken": "1 / 0\n",
        "members/library": "import no_such_library\n",
        "members/kid": text.replace("NAME", "kid"),
        "members/mine": mine,
        "members/mine_too": mine,
        "members/two-words": mine,
        "others/mine": mine + "# another\n",
        "members/beside": "import mine\n",
        "members/lonely": "from ._gone import x\n",
        "members/figure": mine.replace('Figure("mine"', 'Figure("kid"'),
        "members/over": mine.replace('"x")', '"x", over="retain")'),
        "asking": tiny + mine,
        "asking-two": tiny + mine,
        "others/asking": text.replace("NAME", "another"),
        "asking_kid": tiny + text.replace("NAME", "kid"),
        "method_mine": tiny.replace('Arm("label_swap", "label_swap"', 'Arm("label_swap", "mine"'),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(text)
    (folder / "picture.png.txt").write_text("")


def _runs(folder: Path, tiny: str) -> None:
    """A run that has only a plan, others whose plan is damaged in some way, and one with records."""
    from recorded_run import write_run

    (folder / "own.py").write_text(tiny)
    spaces = {
        "run": TINY,
        "driven": TINY,
        "robbed": TINY,
        "led": TINY,
        "counted": TINY,
        "changed": str(folder / "own.py"),
    }
    for name, space in spaces.items():
        create_run_dir(
            Plan.of(space=space, run_dir=str(folder / name), artifacts=str(folder / "store"), in_process=True)
        )
        (folder / name / "records").mkdir()
    (folder / "own.py").write_text(tiny.replace("steps", "step_count"))
    begun = json.loads((folder / "changed" / "plan.json").read_text())  # by a version that kept no copy of the question
    del begun["question_file"]
    begun["plan"]["space"] = begun["space"] = str(folder / "own.py")
    (folder / "changed" / "plan.json").write_text(json.dumps(begun))
    brought = {"name": "mine.py", "sha256": "0" * 64}
    for name, files in (("robbed", [brought]), ("led", [brought | {"name": "../mine.py"}]), ("counted", 3)):
        plan = json.loads((folder / name / "plan.json").read_text())
        (folder / name / "plan.json").write_text(json.dumps(plan | {"member_files": files}))
    damaged = {"cut": '{"plan": {"spa', "list": "[]", "a_track": "{}"}
    damaged |= {"tossed": '{"procedure": "tossed"}', "outside": '{"procedure": "../../evil"}'}
    damaged |= {"numbered": '{"procedure": 3}', "listed": '{"procedure": ["x"]}'}
    for name, text in damaged.items():
        (folder / name).mkdir()
        (folder / name / "plan.json").write_text(text)
    (folder / "a_track" / "track.json").write_text("{}")
    write_run(folder / "recorded")
    write_run(folder / "unprepared")
    (folder / "unprepared" / "prepared.json").unlink()


def _pipelines(folder: Path) -> None:
    from test_launch import pipeline

    for name in ("pickled", "custom", "indexed", "odd", "fourier", "betas", "worded", "sharded"):
        pipeline(folder / name)
    changes = {
        "fourier": ("unet/config.json", {"time_embedding_type": "fourier"}),
        "betas": ("scheduler/scheduler_config.json", {"trained_betas": [0.1, 0.2]}),
        "worded": ("unet/config.json", {"in_channels": "1"}),
    }
    for name, (file, change) in changes.items():
        path = folder / name / file
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    (folder / "sharded" / "unet" / "diffusion_pytorch_model.safetensors").rename(
        folder / "sharded" / "unet" / "a.safetensors"
    )
    (folder / "sharded" / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text('{"weight_map": ["a"]}')
    weights = folder / "pickled" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    (folder / "custom" / "model_index.json").write_text(
        json.dumps({"_class_name": ["mine.py", "Mine"], "unet": ["mine", "UNet"]})
    )
    (folder / "indexed" / "model_index.json").write_text("[]")


def _pictures(folder: Path) -> None:
    for name in ("texts", "cut_pictures", "bare"):
        for label in ("0", "1"):
            (folder / name / label).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for label in ("0", "1"):
        (folder / "texts" / label / "a.png").write_text("no picture")
        for i in range(12):
            picture = folder / "cut_pictures" / label / f"{i}.png"
            Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(picture)
    picture.write_bytes(picture.read_bytes()[:60])


def content(folder: Path) -> dict[str, str]:
    """What every file holds, and which folders there are."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else ""
        for p in folder.rglob("*")
        if "__pycache__" not in p.parts
    }


def run(command: str, args: list[str]) -> int:
    main: Callable[[list[str]], int] = importlib.import_module(
        "sweep.track.__main__" if command == "track" else f"sweep.{command}"
    ).main
    try:
        return main(args)
    except SystemExit as ended:  # the parser's way
        return int(ended.code or 0)


@pytest.mark.parametrize(
    ("name", "more"),
    [*((name, []) for name in BAD), *((name, ["--dry-run"]) for name in DRY)],
    ids=[*BAD, *(f"{name}, in a dry run" for name in DRY)],
)
def test_a_bad_input_is_one_line_exit_code_2_and_changes_nothing(
    name: str, more: list[str], place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, args, said = BAD[name]
    monkeypatch.chdir(place)
    before = content(place)
    code = run(command, [*args, *more])
    error = capsys.readouterr().err
    assert code == 2, error
    assert error.startswith("error: ") and error.count("\n") == 1 and said in error, error
    assert "Traceback" not in error
    assert content(place) == before


def test_a_change_on_the_disk_is_seen(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a")
    before = content(tmp_path)
    (tmp_path / "file").write_text("b")
    assert content(tmp_path) != before
    shutil.rmtree(tmp_path / "file", ignore_errors=True)
