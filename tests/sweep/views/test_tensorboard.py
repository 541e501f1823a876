"""What TensorBoard itself reads back from a run's board."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_run import RUNGS, space, write_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.plugins.hparams.api_pb2 import Status

from sweep.page.figures import front_figure
from sweep.reading.sweep import read_sweep
from sweep.records import read
from sweep.relearning.columns import columns
from sweep.views.tensorboard import Board, TensorBoard
from trainables.store import Store


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("recorded") / "run", artifacts=False)
    with Board(run, space()) as board:
        for row in read(run, "trials").to_pylist():
            board.trial(row, curves(run, row["trial_id"]))
    return run


def curves(run: Path, trial_id: str) -> list[dict[str, Any]]:
    return [c for c in read(run, "curves").to_pylist() if c["trial_id"] == trial_id]


def load(folder: Path) -> EventAccumulator:
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def hparams(events: EventAccumulator) -> dict[str, Any]:
    """The plugin's three messages, as its dashboard parses them."""
    found = {}
    for tag, content in events.PluginTagToContent("hparams").items():
        found[tag.rpartition("/")[2]] = plugin_data_pb2.HParamsPluginData.FromString(content)
    return found


def test_a_trial_is_one_event_file_with_its_figures_under_their_own_names(run: Path) -> None:
    folder = run / "tensorboard" / "dimum-0001"
    assert len(list(folder.iterdir())) == 1
    events = load(folder)
    assert [(e.step, e.value) for e in events.Scalars("robustness")] == [(0, pytest.approx(0.90))]
    assert events.Scalars("fid_delta")[0].value == pytest.approx(3.0)
    curve = [(e.step, e.value) for e in events.Scalars("relearning_accuracy/retain")]
    assert curve == [(k, pytest.approx(v, abs=1e-6)) for k, v in zip(RUNGS, (0, 0.2 / 3, 0.4 / 3, 0.2), strict=True)]
    assert "relearning_accuracy/public_all/r3" in events.Tags()["scalars"]


def test_every_trial_declares_every_parameter_and_the_same_metrics(run: Path) -> None:
    for trial_id in ("dimum-0000", "dimum-0005", "label_swap-0000", "control-base"):
        told = hparams(load(run / "tensorboard" / trial_id))
        experiment = told["experiment"].experiment
        infos = {i.name: i for i in experiment.hparam_infos}
        assert set(infos) == {"arm", "method", "ended", "lr", "replacement", "noise_scale", "steps"}
        assert list(infos["replacement"].domain_discrete) == ["one_image", "noise", "—"]
        tags = {m.name.tag for m in experiment.metric_infos}
        assert {"robustness", "fid_delta", "relearning_accuracy/retain"} <= tags
    scalars = set(load(run / "tensorboard" / "dimum-0000").Tags()["scalars"])
    assert {"robustness", "fid_delta", "relearning_accuracy/retain"} <= scalars  # the very same tags


def test_every_parameter_has_its_domain_and_every_figure_its_meaning(run: Path) -> None:
    experiment = hparams(load(run / "tensorboard" / "label_swap-0000"))["experiment"].experiment
    infos = {i.name: i for i in experiment.hparam_infos}
    for name, low, high in (("lr", 1e-5, 1e-3), ("noise_scale", 0.1, 2.0), ("steps", 10, 200)):
        assert (infos[name].domain_interval.min_value, infos[name].domain_interval.max_value) == (low, high)
    assert list(infos["arm"].domain_discrete) == ["dimum", "label_swap", "control"]
    assert infos["lr"].description == "learning rate"
    told = {m.name.tag: m.description for m in experiment.metric_infos}
    assert told["robustness"].startswith("1 - max AURC@K") and all(told[name] for name in columns().names)


def test_a_confirm_replicates_curves_are_added_beside_the_trials_and_replace_their_own(
    run: Path, tmp_path: Path
) -> None:
    board = Board(tmp_path, space())
    row = next(r for r in read(run, "trials").to_pylist() if r["trial_id"] == "dimum-0001")
    own = curves(run, "dimum-0001")
    board.trial(row, [c for c in own if c["replicate"] == 0])
    for _ in range(2):
        board.replicate("dimum-0001", 2, [c for c in own if c["replicate"] == 2])
    folder = tmp_path / "tensorboard" / "dimum-0001"
    assert len(list(folder.iterdir())) == 2
    events = load(folder)
    assert [e.step for e in events.Scalars("relearning_accuracy/public_all/r2")] == list(RUNGS)
    assert [e.step for e in events.Scalars("relearning_accuracy/retain")] == list(RUNGS)


def test_a_session_holds_the_trials_own_values_and_state(run: Path) -> None:
    told = hparams(load(run / "tensorboard" / "dimum-0001"))
    values = told["session_start_info"].session_start_info.hparams
    assert values["lr"].number_value == pytest.approx(2e-4) and values["replacement"].string_value == "noise"
    assert values["arm"].string_value == "dimum" and "steps" not in values  # another arm's
    swap = hparams(load(run / "tensorboard" / "label_swap-0000"))["session_start_info"].session_start_info.hparams
    assert swap["replacement"].string_value == "—" and swap["steps"].number_value == 50
    for trial_id, how in (("dimum-0001", "complete"), ("dimum-0004", "stopped early"), ("dimum-0005", "failed")):
        start = hparams(load(run / "tensorboard" / trial_id))["session_start_info"].session_start_info
        assert start.hparams["ended"].string_value == how
    for trial_id, state in (("dimum-0001", "STATUS_SUCCESS"), ("dimum-0005", "STATUS_FAILURE")):
        end = hparams(load(run / "tensorboard" / trial_id))["session_end_info"].session_end_info
        assert end.status == Status.Value(state)


def test_a_failed_trial_tells_its_cause_without_markup(run: Path) -> None:
    events = load(run / "tensorboard" / "dimum-0005")
    (text,) = [t for t in events.Tags()["tensors"] if t.startswith("cause")]
    told = events.Tensors(text)[0].tensor_proto.string_val[0].decode()
    assert told.startswith("FAIL: RuntimeError") and "<script>" not in told


def test_a_figure_that_is_not_finite_is_left_out(run: Path, tmp_path: Path) -> None:
    row = next(r for r in read(run, "trials").to_pylist() if r["trial_id"] == "dimum-0005")
    point = {"replicate": 0, "attack": "none", "attack_step": 0, "metric": "relearning_accuracy", "value": float("inf")}
    Board(tmp_path, space()).trial(row | {"fid": float("nan"), "kid": 0.5}, [point])
    assert load(tmp_path / "tensorboard" / "dimum-0005").Tags()["scalars"] == ["kid"]


def test_writing_a_trial_again_replaces_it(run: Path) -> None:
    row = next(r for r in read(run, "trials").to_pylist() if r["trial_id"] == "dimum-0002")
    board = Board(run, space())
    board.trial(row | {"robustness": 0.5}, [])
    board.trial(row | {"robustness": 0.25}, [])
    board.close()
    folder = run / "tensorboard" / "dimum-0002"
    assert len(list(folder.iterdir())) == 1
    assert [e.value for e in load(folder).Scalars("robustness")] == [0.25]


def test_images_and_figures_are_added_and_replaced(run: Path) -> None:
    board, folder = Board(run, space()), run / "tensorboard" / "dimum-0000"
    grid = np.zeros((4, 1, 8, 8), dtype=np.float32)
    for _ in range(2):
        board.images("dimum-0000", "samples/forgotten", grid, 7)
        board.figure("front", front_figure(read_sweep(run)))
    board.images("dimum-0000", "samples/retained", np.zeros((4, 3, 8, 8)))
    events = load(folder)
    (image,) = events.Images("samples/forgotten")
    assert (image.step, image.width, image.height) == (7, 17, 17)
    assert "samples/retained" in events.Tags()["images"] and "robustness" in events.Tags()["scalars"]
    assert len(load(run / "tensorboard" / "_sweep").Images("front")) == 1


def test_a_name_that_leaves_the_folder_is_refused(run: Path) -> None:
    with pytest.raises(ValueError, match="cannot name a file"):
        Board(run, space()).trial({"trial_id": "../out", "arm": "dimum", "method": "dimum"}, [])


def test_the_hparams_dashboard_can_serve_the_board(run: Path) -> None:
    """The plugin's own table, made from the files: NaN or mixed types would make it fail."""
    from google.protobuf import json_format
    from tensorboard import context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(run / "tensorboard"))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(run))
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    ask, request = context.RequestContext(), api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=100)
    request.allowed_statuses.extend([Status.Value(s) for s in ("STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING")])
    request.col_params.add(hparam="noise_scale").order = api_pb2.ORDER_ASC
    metadata = backend.hparams_metadata(ask, "e")
    experiment = backend.experiment_from_metadata(
        ask, "e", True, metadata, backend.hparams_from_data_provider(ask, "e", 1000)
    )
    groups = list_session_groups.Handler(ask, backend, "e", request).run()
    assert {h.name for h in experiment.hparam_infos} >= {"lr", "noise_scale"}
    assert len(groups.session_groups) == 13
    assert "dimum-0001" in json_format.MessageToJson(groups)


@pytest.fixture(scope="module")
def served(run: Path) -> Iterator[str]:
    """TensorBoard itself, on a port of the loopback that it chooses; gives the address it says it has."""
    with Board(run, space()) as board:
        board.images("dimum-0000", "samples/forgotten", np.zeros((4, 1, 8, 8), dtype=np.float32), 7)
        board.figure("front", front_figure(read_sweep(run)))
    args = ["--logdir", str(run / "tensorboard"), "--host", "127.0.0.1", "--port", "0", "--load_fast", "false"]
    code = "import sys; from tensorboard.main import run_main; sys.exit(run_main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:\d+/", said):
                yield found[0]
                break
        else:
            raise AssertionError(said)
    finally:
        process.terminate()
        process.wait(20)


def asked(address: str, route: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}data/{route}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def test_a_real_tensorboard_serves_scalars_hparams_samples_and_the_front(served: str, run: Path) -> None:
    expected = {f.name for f in (run / "tensorboard").iterdir()}
    end = time.monotonic() + 60
    while set(asked(served, "runs")) != expected and time.monotonic() < end:
        time.sleep(0.5)  # it loads the files in the background
    scalars = asked(served, "plugin/scalars/tags")
    assert {"robustness", "relearning_accuracy/retain"} <= scalars["dimum-0001"].keys()
    curve = asked(served, "plugin/scalars/scalars?run=dimum-0001&tag=relearning_accuracy%2Fretain")
    assert [step for _, step, _ in curve] == list(RUNGS)
    images = asked(served, "plugin/images/tags")
    assert "samples/forgotten" in images["dimum-0000"] and "front" in images["_sweep"]
    experiment = asked(served, "plugin/hparams/experiment", {"experimentName": ""})
    infos = {i["name"]: i for i in experiment["hparamInfos"]}
    assert infos.keys() >= {"arm", "method", "lr", "replacement", "noise_scale", "steps"}
    assert infos["noise_scale"]["domainInterval"] == {"minValue": 0.1, "maxValue": 2.0}
    assert infos["replacement"]["domainDiscrete"] == ["one_image", "noise", "—"]
    statuses = ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    columns = [{"hparam": "lr"}, {"metric": {"tag": "robustness"}}]
    ask = {"experimentName": "", "allowedStatuses": statuses, "colParams": columns, "startIndex": 0, "sliceSize": 100}
    groups = {g["name"]: g for g in asked(served, "plugin/hparams/session_groups", ask)["sessionGroups"]}
    assert len(groups) == 13, "every trial and both controls are a line of the table"
    values = {g["sessions"][0]["name"]: g["hparams"] for g in groups.values()}
    assert values["dimum-0001"]["lr"] == pytest.approx(2e-4) and values["dimum-0001"]["replacement"] == "noise"


def test_what_was_confirmed_has_its_means_on_the_board(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", artifacts=False)
    view = TensorBoard(run, space(), Store(run / "artifacts"))
    for _ in range(2):  # written again, they take the place of what was there
        view.finish()
    sweep = read_sweep(run)
    told = load(run / "tensorboard" / "dimum-0001")
    found = sweep.member("dimum-0001").confirmed
    assert found is not None
    for name in ("robustness", "fid_delta", "retain_accuracy"):
        assert [(e.step, e.value) for e in told.Scalars(f"confirmed/{name}")] == [(0, pytest.approx(found[name].mean))]
    assert "confirmed/robustness" in load(run / "tensorboard" / "control-base").Tags()["scalars"]
    searched = next(m.trial_id for m in sweep.members if m.confirmed is None)
    assert not (run / "tensorboard" / searched).exists()
