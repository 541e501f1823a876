"""scikit-learn's digits: 1,797 real handwritten digits, 8×8 pixels, inside the wheel (Alpaydin & Kaynak, 1998, UCI)."""

from __future__ import annotations

from trainables.data import Images, Splits, register

COUNTS = {"train": 1078, "public": 359, "test": 360}  # images of each split


@register("digits", conditions=10, shape=(1, 8, 8), counts=COUNTS)
def digits() -> Splits:
    """60 % train, 20 % public, 20 % test, split once and for all by a fixed permutation; pixels 0…16 become [-1, 1]."""
    import torch
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.tensor(bunch.images, dtype=torch.float32).div(8).sub(1).unsqueeze(1)
    everything = Images(images, torch.tensor(bunch.target, dtype=torch.int64))
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(0))
    train, public = int(0.6 * len(order)), int(0.8 * len(order))
    return Splits(
        everything.where(order[:train]), everything.where(order[train:public]), everything.where(order[public:])
    )
