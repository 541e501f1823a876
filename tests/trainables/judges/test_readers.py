"""Judges read from a folder: their verdicts are those of the model itself, their files are hashed, and labels are checked first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from judge_folders import SIDE, write_classifier, write_clip

from sweep import launch
from sweep.errors import UsageError
from sweep.plan.asked import plan_of
from sweep.relearning.experiments import experiment_of, resolved
from trainables.data import NOTHING, Dataset, Facet, dataset
from trainables.judges import check_trained, digest_of, judge_of, reader_of
from trainables.judges.image_classifier import ImageClassifier
from trainables.judges.zero_shot_clip import ZeroShotCLIP, captions_of
from trainables.relearning.products import Workbench
from trainables.relearning.products.judge import reads_of

pytest.importorskip("transformers")

STYLED = dataset("digits_styled")
CONCEPTS, STYLES = (facet.labels for facet in STYLED.facets)
WORDS = ("a", "photo", "of", "picture", "in", "style", *CONCEPTS, *STYLES)
TINY = str(Path(__file__).parents[2] / "questions" / "tiny.py")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of the digits and another thing, and a CLIP that knows the words of all captions."""
    place = tmp_path_factory.mktemp("judges")
    write_classifier(place / "vit", ["Zero", "teapot", *CONCEPTS[1:]])
    write_clip(place / "clip", WORDS)
    return place


@pytest.fixture
def images() -> torch.Tensor:
    """On the levels of bytes, as pictures are."""
    levels = torch.randint(0, 256, (40, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    return levels.float().div(127.5).sub(1)


def test_an_image_classifiers_verdicts_are_its_models_classes_by_name(folders: Path, images: torch.Tensor) -> None:
    from transformers import ViTForImageClassification

    said = ImageClassifier(folders / "vit", STYLED.facets, 0).load("cpu")(images)
    logits = ViTForImageClassification.from_pretrained(folders / "vit").eval()(images).logits.detach()
    names = ["zero", "teapot", *CONCEPTS[1:]]
    labels = [CONCEPTS.index(names[i]) if names[i] in CONCEPTS else NOTHING for i in logits.argmax(dim=1)]
    assert said.labels.shape == (40, 2) and said.labels[:, 0].tolist() == labels and len(set(labels)) > 2
    assert torch.allclose(said.confidence[:, 0], logits.softmax(dim=1).amax(dim=1), atol=1e-5)
    assert said.facets == (0,) and set(said.labels[:, 1].tolist()) == {NOTHING}, "it knows no styles"


def test_each_facet_is_told_among_its_own_labels_and_what_is_none(folders: Path, tmp_path: Path) -> None:
    facets = (Facet("concept", ("cat", "dog"), (), (NOTHING, NOTHING)), Facet("style", ("oil",), (), (NOTHING,)))
    both = ImageClassifier(write_classifier(tmp_path / "both", ["cat, house cat", "dog", "Oil", "blank"]), facets, 0)
    assert both.classes == {0: (0, 1), 1: (2,)}
    said = both.read(torch.tensor([[2.0, 1.0, 9.0, 0.0], [0.0, 1.0, 0.0, 5.0], [9.0, 0.0, 3.0, 2.0]]))
    assert said.labels.tolist() == [[0, 0], [NOTHING, NOTHING], [0, 0]] and said.facets == (0, 1)
    expected = torch.tensor([2.0, 1.0, 0.0]).softmax(dim=0)[0]
    assert said.confidence[0, 0] == pytest.approx(float(expected)), "the style's class is no rival of the concept's"


def test_clips_verdicts_are_the_nearest_caption_or_that_of_nothing(folders: Path, images: torch.Tensor) -> None:
    from transformers import CLIPModel, CLIPTokenizer

    said = ZeroShotCLIP(folders / "clip", STYLED.facets, 0).load("cpu")(images)
    model, tokenizer = (
        CLIPModel.from_pretrained(folders / "clip").eval(),
        CLIPTokenizer.from_pretrained(folders / "clip"),
    )
    assert said.labels.shape == (40, 2) and said.facets == ()
    for number, facet in enumerate(STYLED.facets):
        captions = captions_of(facet)
        assert captions[3] == ("a photo of a three" if number == 0 else "a picture in poster style")
        tokens = tokenizer(captions, padding=True, return_tensors="pt")
        shares = model(**tokens, pixel_values=images).logits_per_image.softmax(dim=1).detach()
        expected = [NOTHING if i == len(facet.labels) else i for i in shares.argmax(dim=1).tolist()]
        assert said.labels[:, number].tolist() == expected
        assert torch.allclose(said.confidence[:, number], shares.amax(dim=1), atol=1e-5)


def test_among_the_labels_alone_every_image_is_given_one(folders: Path, images: torch.Tensor) -> None:
    from transformers import CLIPModel, CLIPTokenizer

    reader = reader_of(f"zero_shot_clip_labels:{folders / 'clip'}", STYLED, "concept")
    assert isinstance(reader, ZeroShotCLIP)
    said = reader.load("cpu")(images)
    model, tokenizer = (kind.from_pretrained(folders / "clip") for kind in (CLIPModel, CLIPTokenizer))
    for number, facet in enumerate(STYLED.facets):
        tokens = tokenizer(captions_of(facet)[:-1], padding=True, return_tensors="pt")
        shares = model.eval()(**tokens, pixel_values=images).logits_per_image.softmax(dim=1).detach()
        assert said.labels[:, number].tolist() == shares.argmax(dim=1).tolist()
        assert torch.allclose(said.confidence[:, number], shares.amax(dim=1), atol=1e-5)
    alone = Facet("concept", ("zero",), (), (NOTHING,))
    with pytest.raises(ValueError, match="among the labels alone needs two, and concept has zero"):
        type(reader)(folders / "clip", (alone,), 0)


@pytest.mark.parametrize("judge", ["image_classifier:vit", "zero_shot_clip:clip"])
def test_a_judge_is_known_by_what_its_files_hold_and_not_by_where_they_lie(
    judge: str, folders: Path, tmp_path: Path
) -> None:
    name, _, kind = judge.partition(":")

    def digest(place: Path) -> str:
        reader = reader_of(f"{name}:{place / kind}", STYLED, "concept")
        assert reader is not None
        return digest_of(reader)

    before = digest(folders)
    shutil.copytree(folders, tmp_path / "copy")
    assert digest(tmp_path / "copy") == before
    (tmp_path / "copy" / kind / "README.md").write_text("a file that nothing reads")
    assert digest(tmp_path / "copy") == before
    later = tmp_path / "copy" / kind / "processor_config.json"  # which transformers reads before the other
    later.write_text(
        json.dumps({"image_processor": json.loads((later.parent / "preprocessor_config.json").read_text())})
    )
    with_later = digest(tmp_path / "copy")
    assert with_later != before
    (later.parent / "preprocessor_config.json").unlink()
    assert digest(tmp_path / "copy") not in (before, with_later), "one of the two is enough"
    shutil.copy(folders / kind / "preprocessor_config.json", later.parent)
    later.unlink()
    assert digest(tmp_path / "copy") == before
    weights = tmp_path / "copy" / kind / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    assert digest(tmp_path / "copy") != before


def settings(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        values = json.loads(file.read_text()) | changes
        file.write_text(json.dumps({name: value for name, value in values.items() if value is not None}))

    return change


def drop(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def index(weights: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()  # where it lies there too, it is what is read
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": weights}}))

    return change


MISTAKES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no folder": ("vit", shutil.rmtree, "vit: no such folder"),
    "no settings": ("vit", drop("config.json"), "vit: config.json is missing"),
    "settings that are none": ("vit", lambda f: (f / "config.json").write_text("{"), "config.json: is no JSON"),
    "no weights in safetensors": (
        "vit",
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        "vit: model.safetensors is missing",
    ),
    "a part of the weights": ("vit", index("model-2.safetensors"), "vit: model-2.safetensors is missing"),
    "weights elsewhere": (
        "vit",
        index("../model.safetensors"),
        "'../model.safetensors' is no .safetensors file beside it",
    ),
    "no image processor": (
        "vit",
        drop("preprocessor_config.json"),
        "preprocessor_config.json or processor_config.json is missing",
    ),
    "code of its own": ("vit", settings(auto_map={"AutoModel": "m.M"}), "names code of its own (auto_map)"),
    "no classifier": ("vit", settings(architectures=["ViTModel"]), "is of a ViTModel, which classifies no images"),
    "no names": ("vit", settings(id2label=None), "id2label is missing"),
    "no such label": (
        "vit",
        settings(id2label={"0": "zero", "1": "one"}),
        "has no class for the concept two, three, four, five, six, …; its classes are zero, one",
    ),
    "two of one name": (
        "vit",
        settings(id2label=dict(enumerate([*CONCEPTS, "three, III"]))),
        "'three' may be its class 3 or 10; give the label the whole name",
    ),
    "no CLIP": (
        "clip",
        settings(model_type="clip_text_model"),
        "is of a model 'clip_text_model', not of CLIP as a whole",
    ),
    "no tokenizer": (
        "clip",
        lambda f: [(f / name).unlink() for name in ("tokenizer.json", "vocab.json")],
        "clip: tokenizer.json or vocab.json is missing",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_folder_that_cannot_judge_is_one_line_before_anything_is_made(
    mistake: str, folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, change, said = MISTAKES[mistake]
    shutil.copytree(folders / kind, tmp_path / kind)
    change(tmp_path / kind)
    monkeypatch.chdir(tmp_path)
    judge = f"{'image_classifier' if kind == 'vit' else 'zero_shot_clip'}:{kind}"
    arguments = ["--space", TINY, "--data", "digits_styled", "--judge", judge, "--in-process", "--run-dir", "run"]
    assert launch.main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: --judge ") and said in error, error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ("image_classifier", "image_classifier: write image_classifier:FOLDER"),
        ("image_classifier:", "write image_classifier:FOLDER"),
        ("classifier:vit", "classifier:vit: write classifier"),
        ("zero_shot_clap:clip", "unknown judge 'zero_shot_clap': did you mean 'zero_shot_clip'"),
    ],
)
def test_a_judge_says_whether_a_place_stands_after_its_name(judge: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        judge_of("conditions", judge)
    assert judge_of("conditions", "image_classifier:/x").name == "image_classifier"


def test_classes_are_a_facet_where_they_have_names(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the conditions of digits have no names that a judge's labels"):
        reader_of(f"zero_shot_clip:{folders / 'clip'}", dataset("digits"), "")
    named = replace(dataset("digits"), classes=CONCEPTS)
    reader = reader_of(f"image_classifier:{folders / 'vit'}", named, "")
    assert reader is not None and reader.load("cpu")(torch.zeros(2, 1, SIDE, SIDE)).labels.shape == (2, 1)
    assert reader_of("", named, "") is None is reader_of("classifier", named, "")


def test_a_trained_classifier_needs_images_of_every_label_and_more_than_one() -> None:
    check_trained(STYLED, "concept")
    check_trained(dataset("digits"), "")
    lacking = replace(STYLED, imaged=tuple(label != 3 for label in STYLED.facets[0].shown))
    check_trained(lacking, "style")
    with pytest.raises(
        ValueError, match=r"have no image of the concept three; .* name a judge .* image_classifier:FOLDER"
    ):
        check_trained(lacking, "concept")
    one = Facet("concept", ("nudity",), (0, NOTHING), (NOTHING,))
    single = Dataset("odd", 2, (3, 8, 8), lambda: None, prompts=("a", "b"), facets=(one,))
    with pytest.raises(ValueError, match="would know no concept but nudity; mend that, or name a judge"):
        check_trained(single, "concept")


def test_a_run_goes_on_with_no_other_judge_than_it_began_with(folders: Path, tmp_path: Path) -> None:
    arguments = ["--space", TINY, "--data", "digits_styled", "--judge", f"image_classifier:{folders / 'vit'}"]
    plan = plan_of(launch.parser().parse_args(arguments), launch.parser())
    begun = resolved(plan.setup, experiment_of(plan.setup, str(tmp_path), plan.place))
    assert experiment_of(begun, str(tmp_path), plan.place).judge_digest == begun.judge_digest != ""
    with pytest.raises(UsageError, match=r"--judge image_classifier:.*: its files have changed since this run began"):
        experiment_of(replace(begun, judge_digest="0" * 64), str(tmp_path), plan.place)
    experiment = experiment_of(begun, str(tmp_path), plan.place)
    assert reads_of(Workbench(experiment)) is not None
    with pytest.raises(ValueError, match=r"^judge image_classifier:.*: its files have changed since this run began$"):
        reads_of(Workbench(replace(experiment, judge_digest="0" * 64)))  # as a worker would find them
