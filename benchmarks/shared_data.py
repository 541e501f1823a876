"""Memory and time that a data set takes on a machine: ``python benchmarks/shared_data.py [--images 20000] [--tree CHECKOUT]``.

Faces in CelebA's layout (JPEG files of 178×218 pixels, the two lists) are written once to a folder, then 1 and 4 processes at a
time do what a trial does with them: load them, split the training images into what is forgotten and kept, draw a batch, and
look at every image once in batches of 64. A row a number of processes, and whether anything was kept on the machine:

    first batch   seconds from the call to the first batch of floats, of the slowest process
    core s        core-seconds until then, of all processes together: what a busy machine does not change
    held          memory of all processes together beyond what the same processes hold before they load, MiB, and as a
                  multiple of the data set's bytes: sums of proportional shares (PSS) of all but libraries, after
                  `malloc_trim`
    as it stands  the same before `malloc_trim`, which gives back what the allocator holds of freed memory
    peak          the largest sum of shares meanwhile, beyond what they hold before, looked at every .2 s
    batch         core-milliseconds a batch of 64, the mean of all processes

With ``--tree`` another commit's checkout is measured, by the same processes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
ATTRIBUTES = ("Male", "Smiling", "Young")

PROCESS = """
import ctypes, inspect, json, sys, time
import torch
from trainables.data import dataset
from trainables.forgetting import parse_forget

torch.set_num_threads(1)
torch.rand(64, 3, 64, 64).div(127.5).sub(1).sum()

def wait(**said):
    print(json.dumps(said), flush=True)
    sys.stdin.readline()

def batch(images, index):
    return (images.batch if hasattr(images, "batch") else images.where)(index).images

wait()
start, core = time.perf_counter(), time.process_time()
data = dataset("celeba", sys.argv[1])
known = [sys.argv[2]] if inspect.signature(data.load).parameters else []
splits = data.load(*known)
forget, retain = parse_forget("attribute:Male", data).split(splits.train)
drawn = retain.draw(64, torch.Generator().manual_seed(0)).images
first, core = time.perf_counter() - start, time.process_time() - core
said, start, batches = float(drawn.double().sum()), time.process_time(), 0
for images in (forget, retain, splits.public, splits.test):
    for index in torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).split(64):
        said += float(batch(images, index).double().sum())
        batches += 1
seconds = (time.process_time() - start) / batches
wait(first=first, core=core, batch=seconds, said=said)
ctypes.CDLL(None).malloc_trim(0)
wait()
"""


def write_faces(folder: Path, n: int) -> None:
    """n JPEG files in CelebA's layout, smooth colours with noise: two thirds of them for training, a sixth held out."""
    rng, pictures = np.random.default_rng(0), folder / "img_align_celeba"
    pictures.mkdir(parents=True)
    attributes, partition = [str(n), " ".join(ATTRIBUTES)], []
    for i in range(n):
        name = f"{i + 1:06d}.jpg"
        smooth = Image.fromarray(rng.integers(0, 256, (7, 6, 3), np.uint8)).resize((178, 218), Image.Resampling.BICUBIC)
        smooth.save(pictures / name, quality=90)
        attributes.append(f"{name} " + " ".join("1" if i >> bit & 1 else "-1" for bit in range(len(ATTRIBUTES))))
        partition.append(f"{name} {(0, 0, 0, 0, 0, 2)[i * 6 // n]}")
    (folder / "list_attr_celeba.txt").write_text("\n".join(attributes) + "\n")
    (folder / "list_eval_partition.txt").write_text("\n".join(partition) + "\n")


def share(pid: int, kept: Path) -> int:
    """A process's proportional share of memory, bytes: its own pages, and those of files that the machine keeps.

    Not of libraries: other processes of the machine map these too, and what is a process's share changes as those come and go.
    """
    total, counts = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        first, *rest = line.split()
        if not first.endswith(
            ":"
        ):  # a mapping begins: addresses, permissions, offset, device, inode, and a file's name
            name = rest[4] if len(rest) > 4 else ""
            counts = not name.startswith("/") or name.startswith(str(kept))
        elif first == "Pss:" and counts:
            total += int(rest[0]) * 1024
    return total


class Processes:
    """Some processes that say a line and wait until all may go on."""

    def __init__(self, n: int, tree: Path, arguments: list[str], kept: Path) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "SWEEP_CACHE": str(kept), "PYTHONPATH": str(tree)}
        self.running = [
            subprocess.Popen(
                [sys.executable, "-c", PROCESS, *arguments],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tree, env=environment,
            )
            for _ in range(n)
        ]  # fmt: skip
        self.kept = kept
        self.peak = 0
        self.said: list[dict] = []

    def memory(self) -> int:
        return sum(share(process.pid, self.kept) for process in self.running)

    def all_said(self) -> int:
        """Wait until all have said their next line, looking at memory meanwhile; what they hold then, bytes."""
        waiting = {process.stdout.fileno(): process for process in self.running if process.stdout}
        for number in waiting:
            os.set_blocking(number, False)
        lines = dict.fromkeys(waiting, "")
        while any(not line.endswith("\n") for line in lines.values()):
            for number, process in waiting.items():
                if process.poll() is not None:
                    raise SystemExit(f"a process ended with {process.returncode}")
                try:
                    lines[number] += os.read(number, 65536).decode()
                except BlockingIOError:
                    continue
            self.peak = max(self.peak, self.memory())
            time.sleep(0.2)
        self.said = [json.loads(line) for line in lines.values()]
        return self.memory()

    def go_on(self) -> None:
        for process in self.running:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()

    def end(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate()


def measured(n: int, tree: Path, arguments: list[str], kept: Path) -> dict[str, float]:
    processes = Processes(n, tree, arguments, kept)
    try:
        empty = processes.all_said()
        processes.peak = 0
        processes.go_on()
        stands = processes.all_said()
        peak, said = processes.peak, processes.said
        processes.go_on()
        held = processes.all_said()
        processes.go_on()
    finally:
        processes.end()
    assert len({one["said"] for one in said}) == 1, "all have seen the same images"
    return {
        "first": max(one["first"] for one in said),
        "core": sum(one["core"] for one in said),
        "batch": sum(one["batch"] for one in said) / n * 1000,
        "held": held - empty,
        "stands": stands - empty,
        "peak": peak - empty,
    }


def main() -> int:
    p = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0] + ".")
    p.add_argument("--images", type=int, default=20_000)
    p.add_argument("--tree", type=Path, default=ROOT, help="checkout whose package is measured")
    p.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "shared_data", help="where the faces are"
    )
    p.add_argument("--processes", type=int, nargs="+", default=[1, 4])
    p.add_argument("--machine", nargs="+", default=["cold", "warm"], help="cold: nothing is kept yet; warm: once more")
    args = p.parse_args()
    faces, tree = args.folder / str(args.images), args.tree.resolve()
    if not (faces / "list_eval_partition.txt").exists():
        shutil.rmtree(faces, ignore_errors=True)
        write_faces(faces, args.images)
    ask = "import sys; from trainables.data import dataset; print(dataset('celeba', sys.argv[1]).fingerprint())"
    command = [sys.executable, "-c", ask, str(faces)]
    fingerprint = subprocess.run(command, cwd=tree, check=True, capture_output=True, text=True).stdout.strip()
    size = args.images * 3 * 64 * 64
    print(f"{args.images} images of 64×64: {size / 2**20:.0f} MiB of bytes")
    print("| processes | machine | first batch, s | core s | held, MiB | × bytes | as it stands | peak | batch, ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for n in args.processes:
        with tempfile.TemporaryDirectory() as kept:
            for machine in args.machine:
                row = measured(n, tree, [str(faces), fingerprint], Path(kept))
                held, stands, peak = (f"{row[name] / 2**20:.0f}" for name in ("held", "stands", "peak"))
                times = row["held"] / size
                print(
                    f"| {n} | {machine} | {row['first']:.1f} | {row['core']:.1f} | {held} | {times:.2f} | {stands} | {peak} | "
                    f"{row['batch']:.2f} |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
