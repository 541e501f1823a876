"""The flags of what a sweep's or a track's trials are about: the data and what is forgotten, the base model, how figures are taken.

Each is a field, declared with its check and its words (`sweep.plan.flags`); what several of them say together is
`sweep.relearning.setup`'s. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from sweep.plan.flags import MODELS, QUESTION, SEARCH, Words, at_least, flag, member_of, one_of
from sweep.relearning import flag_values, plan_words, protocols, targets
from sweep.relearning.flag_values import AUTO
from sweep.space import find
from trainables.denoisers.sizes import SIZES, TEXT_SIZES
from trainables.denoisers.text_to_image import TextToImage

PRECISIONS = (AUTO, "fp32", "bf16")
RETAINED_OF_PROMPTS = 270  # images of retained prompts, which are many, that a score is over unless it is said
SYNTHETIC_OF_PROMPTS = 500  # images of an attacker's synthetic set at least, in equal numbers of each retained prompt


@dataclass(frozen=True)
class SetupFlags:
    """A command line's values, and of a run's data, base model and judge what was recorded when it began."""

    data: str = flag(
        "digits",
        "--data",
        "data set, by the README's table (default: the question's own, mostly digits; a track's is digits)",
        QUESTION,
        ungiven=None,
        metavar="NAME",
        check=flag_values.data_wrong,
        words=Words(
            "data", lambda _, setup: plan_words.data_text(setup.dataset(), setup.data_limit, setup.data_folder)
        ),
    )
    data_folder: str = flag(
        "",
        "--data-folder",
        "where it lies; beside --resume, where it lies now",
        QUESTION,
        metavar="DIR",
        read=flag_values.folder,
        beside_resume=True,
    )
    image_size: int = flag(
        0,
        "--image-size",
        "resize to N×N pixels (default: the data set's own size)",
        QUESTION,
        metavar="N",
        check=at_least(0),
    )
    data_limit: int = flag(
        0,
        "--data-limit",
        "at most N images of each split (default: 0, all)",
        QUESTION,
        metavar="N",
        check=at_least(0),
    )
    skip_unreadable: bool = flag(
        False,
        "--skip-unreadable",
        "leave out pictures that cannot be read; the plan names them",
        QUESTION,
    )
    data_skipped: tuple[str, ...] = ()  # what --skip-unreadable left out when the run began, by names in the folder
    data_fingerprint: str = ""  # of the folder's files, when the run began
    forget: str = flag(
        "3",
        "--forget",
        "classes by name or number (dress or 3,7; a number that is a class's name is that class), attribute:NAME, "
        "instances:INDEX,… of the training images, or of prompts concept:NAME,… or style:NAME,… (default: the question's "
        "own, mostly 3; of prompts whose file says so, those of the role forget)",
        QUESTION,
        ungiven=None,
        metavar="WHAT",
        words=Words("data", lambda forget, setup: f"forget {plan_words.forget_text(forget, setup.dataset())}"),
    )
    target: str = flag(
        "",
        "--target",
        "the unlearned model that a search of the attack attacks (default: the question's own)",
        QUESTION,
        metavar="METHOD|RUN:TRIAL",
        read=targets.absolute_target,
    )
    held_settings: tuple[str, ...] = flag(
        (),
        "--set",
        "a setting of every method and attack that has it, where the question says nothing of it: batch=4, "
        "trained_parameters=cross_attention",
        QUESTION,
        action="append",
        metavar="NAME=VALUE",
    )
    fid_budget: float | str = flag(
        AUTO,
        "--fid-budget",
        "bound on fid_delta (default: %(default)s, see --dry-run)",
        SEARCH,
        metavar="auto|FID",
        read=flag_values.budget,
    )
    base_size: str = flag(
        "small",
        "--base-size",
        "small, medium or large base model, trained here; of prompts text, text-v (it predicts v) or text-xl (told as SDXL is; "
        "default: what fits the data)",
        MODELS,
        ungiven=None,
        metavar="SIZE",
        check=one_of(lambda: [*SIZES, *TEXT_SIZES]),
        words=Words("base model", lambda size, setup: "" if setup.base else size),
    )
    base_steps: int = flag(
        1300,
        "--base-steps",
        "training steps of the base model (default: its size's own)",
        MODELS,
        ungiven=None,
        metavar="N",
        check=at_least(1),
        words=Words("base model", lambda steps, setup: "" if setup.base else f"{steps} steps", joined=", "),
    )
    base: str = flag(  # empty: trained here
        "",
        "--base",
        "a diffusers pipeline as the base model: its folder or hub id",
        MODELS,
        metavar="FOLDER|ID",
        read=flag_values.pipeline,
        words=Words("base model", lambda base, setup: plan_words.base_text(base, setup.base_revision)),
    )
    base_revision: str = flag(
        "", "--base-revision", "revision of a hub id (default: its newest)", MODELS, metavar="REV"
    )
    base_classes: tuple[int, ...] = flag(
        (),
        "--base-classes",
        "the pipeline's classes that the conditions are, in their order",
        MODELS,
        ungiven="",
        metavar="N,N,…",
        read=flag_values.numbers,
    )
    base_digest: str = ""  # SHA-256 of its files and the control's, once they have been read
    control_revision: str = ""  # the commit of the control's hub id, once it has been fetched; no flag asks for one
    retrain_control: str = flag(
        "",
        "--retrain-control",
        "the pipeline of a model that never saw what is forgotten, for --base",
        MODELS,
        metavar="FOLDER",
        read=flag_values.pipeline,
        words=Words(
            "control", lambda control, setup: plan_words.control_text(control, setup.dataset()) if setup.base else ""
        ),
    )
    precision: str = flag(
        AUTO,
        "--precision",
        "fp32, or bf16: matrix products by autocast, what trains in float32 and what is frozen in bf16 (default: auto, bf16 on a "
        "GPU)",
        MODELS,
        metavar="auto|fp32|bf16",
        check=one_of(lambda: PRECISIONS),
        words=Words("base model", lambda name, _: "" if name == AUTO else f"computed in {name}"),
    )
    image_sampler: str = flag(
        "ddim",
        "--image-sampler",
        "ddim or dpm-solver++: how images are drawn (default: ddim, or nearest to the --protocol's)",
        MODELS,
        ungiven=None,
        metavar="NAME",
        words=Words("base model", lambda _, setup: f"images by {setup.drawn_by().name}"),
    )
    sampling_steps: int = flag(
        10,
        "--sampling-steps",
        "its steps an image (default: 10, or the --protocol's)",
        MODELS,
        ungiven=None,
        type=int,
        metavar="N",
    )
    guidance: float = flag(
        1.0,
        "--guidance",
        f"classifier-free guidance (default: 1, without; of prompts {TextToImage.guidance:g})",
        MODELS,
        ungiven=None,
        type=float,
        metavar="W",
    )
    samples_forgotten: int = flag(
        128,
        "--samples-forgotten",
        "images of the forgotten condition a score is over (default: %(default)s)",
        MODELS,
        metavar="N",
        check=at_least(2),
        words=Words("samples", lambda n, _: f"{n} of the forgotten condition"),
    )
    samples_per_retained: int = flag(
        50,
        "--samples-per-retained",
        f"images of each retained condition (default: 50; of prompts so many that there are some {RETAINED_OF_PROMPTS} in all)",
        MODELS,
        ungiven=None,
        metavar="N",
        check=at_least(1),
        words=Words("samples", lambda n, _: f"{n} of each retained one", joined=", "),
    )
    judge: str = flag(
        "",
        "--judge",
        "what says which samples show what was forgotten (default: the classifier; of single images, copy detection); "
        "image_classifier:FOLDER, zero_shot_clip:FOLDER and zero_shot_clip_labels:FOLDER are read from a folder of transformers'",
        MODELS,
        metavar="NAME[:FOLDER]",
        read=flag_values.judge,
        check=flag_values.judge_wrong(member_of(lambda: find.members("judges"))),
        words=Words("samples", lambda name, _: f"judged by {name}" if name else ""),
    )
    protocol: str = flag(
        "",
        "--protocol",
        "a published protocol that --data prompts was made for by sweep.prepare_prompts: draws as it says, and prints what differs",
        MODELS,
        metavar="NAME",
        check=lambda name: one_of(lambda: protocols.PROTOCOLS)(name) if name else "",
        words=Words("protocol", lambda name, setup: protocols.text(setup) if name else ""),
    )
    judge_digest: str = ""  # SHA-256 of the judge's files, once they have been read
    fid_features: str = flag(
        "classifier",
        "--fid-features",
        "feature network: classifier, efficientnet or inception",
        MODELS,
        metavar="NAME",
        check=member_of(lambda: find.members("features")),
    )
    inception_weights: str = flag(
        "",
        "--inception-weights",
        "inception-2015-12-05.pt, for --fid-features inception",
        MODELS,
        metavar="FILE",
        read=flag_values.folder,
    )
    inception_sha256: str = flag(
        "", "--inception-sha256", "its SHA-256, if it is not the published file", MODELS, metavar="HEX"
    )
    shadow_models: int = flag(
        0,
        "--shadow-models",
        "shadow models of the membership audit, each trained like the base model (default: %(default)s, without)",
        MODELS,
        metavar="N",
        check=at_least(0),
        words=Words("audit", lambda n, _: f"{n} shadow model{'s' if n != 1 else ''}" if n else ""),
    )
