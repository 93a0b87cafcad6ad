"""Which crops fit the paper's network, without TensorFlow: so that a setting is refused before anything is imported."""

from __future__ import annotations

from headstart.components.errors import SettingError


def flat_side(size: int, stride: int) -> int:
    """Height and width of what the network's dense layers get of images of `size` pixels; see `networks/paper.py`."""
    side = (size - 5) // stride + 1
    side = side // 2 - 2
    side = side // 2 - 4
    return side // 2


def check_crop(crop: int | str, size: int, stride: int) -> None:
    """Raise SettingError where crops of `crop` pixels of images of `size` do not fit the dense layers."""
    if crop in (0, "auto", size):
        return
    fits = [number for number in range(1, size) if flat_side(number, stride) == flat_side(size, stride)]
    if crop not in fits:
        these = f"these do: {', '.join(map(str, fits))}" if fits else "no smaller size does"
        raise SettingError(
            f"crop: {crop} pixels of images of {size} do not fit the network's dense layers; {these}.",
            "crop=auto takes the size that fits, crop=0 trains on whole images.",
        )
