"""Turn someone else's checkpoint into a diffusers pipeline: ``python -m sweep.import_checkpoint FILE OUT --family NAME``.

OUT is a folder that ``sweep.launch --base`` and ``sweep.track --model`` take, of a judge one for ``--judge``. FILE is read by
readers that run no code.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.errors import Parser, UsageError, command, near
from trainables.sampling.noise_schedule import BETA_SCHEDULES

if TYPE_CHECKING:  # torch is imported once nothing is wrong with what was asked
    from trainables.denoisers.checkpoints import Untold

EPILOG = """\
families:
  sa-ddpm   the conditional DDPM of Selective Amnesia's code, which SalUn, EraseDiff, SFR-on and SFD share, and DDIM's own;
            what torch.save wrote, or safetensors
  edm       EDM's networks, DDPM++, NCSN++ and ADM: save_file(net.state_dict(), FILE) of safetensors.torch
  sa-resnet34   their judge, torchvision's ResNet-34: OUT is then for --judge image_classifier:OUT
"""


def parser() -> Parser:
    p = Parser(
        "python -m sweep.import_checkpoint",
        description="Turn someone else's checkpoint into a diffusers pipeline.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("file", metavar="FILE", help="the checkpoint; no code in it is run")
    p.add_argument(
        "folder", metavar="OUT", help="a new folder to save the pipeline in; one that holds files is refused"
    )
    p.add_argument("--family", required=True, metavar="NAME", help="whose code wrote it: sa-ddpm, edm or sa-resnet34")
    p.add_argument(
        "--weights",
        default="",
        metavar="WHICH",
        help="ema or model, where a checkpoint holds both (default: ema where it is there)",
    )
    p.add_argument("--image-size", type=int, metavar="N", help="pixels a side (default: 32; edm: what its names say)")
    p.add_argument(
        "--dropout",
        type=float,
        metavar="P",
        help="of residual blocks, while it is trained further (default: its code's for CIFAR-10, 0.1; edm: 0.13)",
    )
    p.add_argument("--timesteps", type=int, default=1000, metavar="T", help="of its schedule (default: %(default)s)")
    p.add_argument(
        "--beta-schedule",
        default="linear",
        choices=BETA_SCHEDULES,
        help="how its β rise (default: %(default)s; their code's quad is scaled_linear)",
    )
    p.add_argument(
        "--beta-start", type=float, metavar="β", help="the first (default: 1e-4; edm: by its preconditioning)"
    )
    p.add_argument("--beta-end", type=float, metavar="β", help="the last (default: .02; edm: by its preconditioning)")
    edm = p.add_argument_group("edm")
    edm.add_argument(
        "--preconditioning",
        default="edm",
        metavar="NAME",
        help="edm, vp or ve: EDMPrecond, VPPrecond or VEPrecond (default: %(default)s)",
    )
    edm.add_argument("--sigma-data", type=float, default=0.5, metavar="σ", help="of EDMPrecond (default: %(default)s)")
    edm.add_argument(
        "--null-condition",
        action="store_true",
        help="it was trained with label dropout (default: it was not, as none of EDM's own was)",
    )
    p.add_argument_group("sa-resnet34").add_argument(
        "--classes", default="", metavar="NAME,…", help="of a judge, in their order (default: those of CIFAR-10)"
    )
    return p


@command
def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    file, folder = Path(args.file), Path(args.folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: exists and is not an empty folder; a pipeline is saved in one of its own")
    try:
        said = _imported(args, file, folder)
    except ValueError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror or error}") from None
    for line in said:
        print(line)
    print(folder)
    return 0


def _imported(args: argparse.Namespace, file: Path, folder: Path) -> list[str]:
    """Save the pipeline, or the judge; returns what was read. ValueError where the checkpoint is not what was said."""
    from trainables.data.cifar10 import CLASSES
    from trainables.denoisers.checkpoints import FAMILIES
    from trainables.denoisers.checkpoints._files import WEIGHTS
    from trainables.denoisers.checkpoints._saved import save_imported
    from trainables.judges._resnet import FAMILY, save_resnet

    if args.family == FAMILY:
        return save_resnet(
            file, folder, [name.strip() for name in args.classes.split(",")] if args.classes else CLASSES
        )
    if args.weights not in ("", *WEIGHTS):
        raise UsageError(f"--weights {args.weights}: is neither {' nor '.join(WEIGHTS)}")
    if args.family not in FAMILIES.names():
        raise UsageError(f"--family {args.family}: {near(args.family, [*FAMILIES.names(), FAMILY])}")
    return save_imported(file, FAMILIES[args.family], _untold(args), folder, args.weights)


def _untold(args: argparse.Namespace) -> Untold:
    """What the flags say of the network that its tensors do not; ValueError where it cannot be."""
    from trainables.denoisers.checkpoints import Untold

    return Untold(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Untold)})


if __name__ == "__main__":
    sys.exit(main())
