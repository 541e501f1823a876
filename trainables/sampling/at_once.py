"""How many images go through a denoiser in one pass: as many as the numbers of its widest maps allow, whatever kind it is."""

from __future__ import annotations

MOST_AT_ONCE = 512  # samples in one pass
_SMALL = 32 * 32  # places of a map; of no more of them, as many samples as there may be
_NUMBERS = 16 * 64 * 64 * 320  # of one map of all samples, where it is larger: 16 samples of Stable Diffusion's
_MOST_WITH_GRADIENT = 128
_NUMBERS_WITH_GRADIENT = _NUMBERS // 4  # every map is kept until the backward pass


def samples_at_once(shape: tuple[int, ...], width: int) -> int:
    """How many samples (…, H, W) go through a denoiser whose first maps have `width` channels, in a pass that keeps no gradient.

    512 up to 32 places a side; above, of Stable Diffusion 16 latents of images of 512 pixels, 4 of SDXL's of 1024: twice as many
    with guidance.
    """
    places = shape[-2] * shape[-1]
    if places <= _SMALL:
        return MOST_AT_ONCE
    return min(MOST_AT_ONCE, max(1, _NUMBERS // (places * width)))


def images_at_once(shape: tuple[int, ...], width: int) -> int:
    """The same in a pass that a gradient is taken of: at most 128; 4 latents of Stable Diffusion's, 1 of SDXL's."""
    return min(_MOST_WITH_GRADIENT, max(1, _NUMBERS_WITH_GRADIENT // (shape[-2] * shape[-1] * width)))
