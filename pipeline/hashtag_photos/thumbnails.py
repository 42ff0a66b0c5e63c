"""Whether two thumbnails show the same picture, block by block. Plain arrays in, plain arrays out.

A hash says that two pictures are alike as wholes. So are two texts in one layout, one template with two captions, and
one street with and without a man in it. What tells those from copies is where they differ: saving a picture again, or
making it brighter, changes each part of its thumbnail a little; other words change some parts much.

So one thumbnail is brought to the other's tone, by a gain and an offset; then each block of 4x4 pixels must be the same
in both but for noise. Where only a window of one is found in the other (a crop, a border, a strip of text), both
windows are stretched to one size first, and then moved and scaled upon each other by a pixel or so (Lucas and Kanade
1981, An iterative image registration technique: least squares on slopes; here twice, the second time with less weight
on what fits badly).
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

from hashtag_photos.images import THUMBNAIL_SIDE, WINDOWS

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

NOISE = 3.0  # of 256 shades, the deviation in a block; of pictures saved again 99 in 100 have less than 2.2
NOISE_OF_GAIN = 40.0  # times the logarithm of the gain: bright colours are cut off at 255
NOISE_OF_WINDOW = 5.0
SHARE = 0.02  # of the variance in the block itself
SHIFT = 6.0  # shades, of a block's mean
SHIFT_OF_GAIN = 100.0
GAIN = 1.5  # at most
OTHER_GAIN = 0.15  # its logarithm, beyond which no more noise is allowed for
PLAIN_SHIFT = 4.0  # for plain thumbnails, which have no tone to be brought to
_NEITHER = 6  # shades from black and from white, nearer to which pixels say nothing of the tone
_BLUR = 0.7  # of a pixel, where windows are stretched
_MOST = np.array([[0.4], [0.4], [1.2], [1.2]], dtype=np.float32)  # pixels: moved across, down; scaled so at the edges
_STIFF = np.diag(np.array([100, 100, 100, 100, 100, 1], dtype=np.float32))
_OUTER = slice(1, THUMBNAIL_SIDE - 1)  # what of a window is looked at: through its edge shines what is beyond it
_TOLD_BY = (THUMBNAIL_SIDE // 2 - 1) ** 2  # pixels of it that say how windows lie upon each other


def same(one: Grey, other: Grey) -> Booleans:
    """Whether whole thumbnails, (pairs, side, side) twice, are of the same pictures: (pairs,)."""
    toned, seen, gain = _toned(one.astype(np.float32), other.astype(np.float32))
    return _agree(toned, seen, NOISE + NOISE_OF_GAIN * gain, SHIFT + SHIFT_OF_GAIN * gain)


def same_plain(one: Grey, other: Grey) -> Booleans:
    """Whether thumbnails without any contrast to speak of are: of no other shade either."""
    still = np.zeros(len(one), dtype=np.float32)
    return _agree(one.astype(np.float32), other.astype(np.float32), still + NOISE, still + PLAIN_SHIFT)


def same_window(one: Grey, other: Grey, own: Numbers, its: Numbers) -> Booleans:
    """Whether a window of the one, by its number in images.WINDOWS, shows what a window of the other does; all (pairs,)
    or (pairs, side, side)."""
    toned, seen, gain = _toned(_stretched(one, own), _stretched(other, its))
    moved, seen = _moved(toned, seen), seen[:, _OUTER, _OUTER]
    return _agree(moved, seen, NOISE_OF_WINDOW + NOISE_OF_GAIN * gain, SHIFT + SHIFT_OF_GAIN * gain)


def _agree(one: Floats, other: Floats, noise: Floats, shift: Floats) -> Booleans:
    """Whether all blocks of 4x4, two pixels apart, are the same but for so much noise, and such a shift of the mean."""
    differ = other - one
    off, of_one, of_other = _means(differ), _means(one), _means(other)
    noisy = _means(differ * differ) - off * off
    varied = _means(one * one + other * other) - of_one * of_one - of_other * of_other
    noise, shift = noise[:, np.newaxis, np.newaxis], shift[:, np.newaxis, np.newaxis]
    well = (noisy <= noise * noise + SHARE * varied) & (np.abs(off) <= shift)
    return np.asarray(well.all(axis=(1, 2)))


def _means(pixels: Floats) -> Floats:
    """Of all blocks of 4x4 pixels that begin at an even one."""
    cells = pixels[:, ::2, ::2] + pixels[:, 1::2, ::2] + pixels[:, ::2, 1::2] + pixels[:, 1::2, 1::2]
    total = cells[:, :-1, :-1] + cells[:, 1:, :-1] + cells[:, :-1, 1:] + cells[:, 1:, 1:]
    return cast(Floats, total / 16)


def _toned(one: Floats, other: Floats) -> tuple[Floats, Floats, Floats]:
    """The one with the other's contrast and brightness, the other, and how far that gain is from 1 (its logarithm)."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    some = ((low > _NEITHER) & (high < 255 - _NEITHER)).astype(np.float32)
    some[some.sum(axis=(1, 2)) < THUMBNAIL_SIDE] = 1
    count = some.sum(axis=(1, 2))
    (own, first), (its, second) = (_mean_and_variance(each, some, count) for each in (one, other))
    gain = np.clip(np.sqrt((second + 1) / (first + 1)), 1 / GAIN, GAIN)
    toned = np.clip(gain[:, None, None] * one + (its - gain * own)[:, None, None], 0, 255)
    return toned, other, np.minimum(np.abs(np.log(gain)), OTHER_GAIN)


def _mean_and_variance(pixels: Floats, some: Floats, count: Floats) -> tuple[Floats, Floats]:
    """Of some pixels, which are 1 where they are among these."""
    kept = pixels * some
    mean = kept.sum(axis=(1, 2)) / count
    variance = np.maximum(np.einsum("ijk,ijk->i", kept, pixels) / count - mean**2, 0)
    return cast(Floats, mean), cast(Floats, variance)


def _moved(one: Floats, other: Floats) -> Floats:
    """The one moved and scaled, and its tone adjusted, so that it fits the other best; without the outermost pixels."""
    mean = (one + other) / 2
    across, down = np.zeros_like(mean), np.zeros_like(mean)
    across[:, :, 1:-1] = (mean[:, :, 2:] - mean[:, :, :-2]) / 2
    down[:, 1:-1] = (mean[:, 2:] - mean[:, :-2]) / 2
    place = np.linspace(-1, 1, THUMBNAIL_SIDE, dtype=np.float32)
    level = one - one.mean(axis=(1, 2), keepdims=True)
    ways = np.stack([across, down, across * place, down * place[:, np.newaxis], level, np.ones_like(one)], axis=1)
    ways, kept = ways[:, :, _OUTER, _OUTER], one[:, _OUTER, _OUTER]
    some = np.ascontiguousarray(ways[:, :, ::2, ::2]).reshape(len(one), 6, _TOLD_BY)  # a quarter tells as well
    off = (other[:, _OUTER, _OUTER] - kept)[:, ::2, ::2].reshape(len(one), _TOLD_BY, 1)
    weights = np.ones((len(one), 1, _TOLD_BY), dtype=np.float32)
    found = np.zeros((len(one), 6, 1), dtype=np.float32)
    for _ in range(2):
        weighed = some * weights
        found = np.linalg.solve(weighed @ some.transpose(0, 2, 1) + _STIFF, weighed @ off)
        found[:, :4] = np.clip(found[:, :4], -_MOST, _MOST)
        found[:, 4] = np.clip(found[:, 4], -0.3, 0.3)
        left = off - some.transpose(0, 2, 1) @ found
        scale = 2 * np.sqrt((left**2).mean(axis=1, keepdims=True)) + 4
        weights = (1 / (1 + (left / scale) ** 2)).transpose(0, 2, 1)
    return cast(Floats, kept + np.einsum("ijkl,ij->ikl", ways, found[:, :, 0]))


def _stretched(thumbnails: Grey, window: Numbers) -> Floats:
    """A window of each, as large as a thumbnail."""
    stretched = np.empty(thumbnails.shape, dtype=np.float32)
    for number, (rows, columns) in enumerate(_STRETCHES):
        some = window == number
        stretched[some] = rows @ thumbnails[some].astype(np.float32) @ columns.T
    return stretched


def _stretch(begin: float, end: float) -> Floats:
    """What makes a part of a side, as shares of it, a whole side, a little blurred. (side, side)"""
    cell = np.arange(THUMBNAIL_SIDE)
    size = end - begin
    centre = (begin + size * (cell + 0.5) / THUMBNAIL_SIDE)[:, np.newaxis] * THUMBNAIL_SIDE - 0.5
    weight = np.exp(-((cell - centre) ** 2) / (2 * (_BLUR * size) ** 2))
    within = np.minimum(cell + 1, end * THUMBNAIL_SIDE) - np.maximum(cell, begin * THUMBNAIL_SIDE)
    weight *= np.where(within > 0.6, np.minimum(within, 1), 1e-6)  # the others are of what is beyond the window
    weight /= weight.sum(axis=1, keepdims=True)
    weight[weight < 1e-4] = 0  # and none so small that processors take ten times as long
    return cast(Floats, weight.astype(np.float32))


_STRETCHES = [(_stretch(top, bottom), _stretch(left, right)) for left, right, top, bottom in WINDOWS]
