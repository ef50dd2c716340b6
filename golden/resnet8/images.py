# SPDX-License-Identifier: Apache-2.0
"""The packaged input of the ResNet8: eight synthetic images, made with integers only. None is a photograph."""

from __future__ import annotations

import numpy as np

SIZE = 32


def images() -> dict[str, np.ndarray]:
    """image float32[8, 3, 32, 32] with whole values 0..255."""
    made = (blobs(), gradients(), noise(), checkers(), smooth_noise(), stripes(), extremes(), corners())
    return {"image": np.stack(made).clip(0, 255).astype(np.float32)}


def _grid() -> tuple[np.ndarray, np.ndarray]:
    return np.mgrid[0:SIZE, 0:SIZE][0], np.mgrid[0:SIZE, 0:SIZE][1]


def _random(seed: int, count: int) -> np.ndarray:
    """int64[count] in 0..255; the raw stream of a bit generator is the same in every numpy."""
    return (np.random.PCG64(seed).random_raw(count) >> np.uint64(56)).astype(np.int64)


def blobs() -> np.ndarray:
    """Three round spots of different colours on a dark sky."""
    y, x = _grid()
    image = np.full((3, SIZE, SIZE), 24)
    spots = ((10, 9, 7, (255, 80, 20)), (20, 21, 9, (30, 200, 90)), (7, 25, 5, (60, 90, 255)))
    for row, column, radius, colour in spots:
        near = np.maximum(0, radius**2 - (y - row) ** 2 - (x - column) ** 2)
        image += near * np.array(colour)[:, None, None] // radius**2
    return image


def gradients() -> np.ndarray:
    """A ramp to the right, one downwards, one along the diagonal."""
    y, x = _grid()
    return np.stack([x * 8, y * 8, (x + y) * 4])


def noise() -> np.ndarray:
    """Every value independent."""
    return _random(1, 3 * SIZE * SIZE).reshape(3, SIZE, SIZE)


def checkers() -> np.ndarray:
    """Checkerboards with fields of 1, 4 and 8 pixels."""
    y, x = _grid()
    return np.stack([255 * ((y // field + x // field) % 2) for field in (1, 4, 8)])


def smooth_noise() -> np.ndarray:
    """Noise averaged over 5 x 5 pixels, stretched."""
    wide = _random(2, 3 * (SIZE + 4) ** 2).reshape(3, SIZE + 4, SIZE + 4)
    total = sum(wide[:, dy : dy + SIZE, dx : dx + SIZE] for dy in range(5) for dx in range(5))
    return (np.asarray(total) // 25 - 128) * 4 + 128


def stripes() -> np.ndarray:
    """Diagonal stripes, a different period per colour."""
    y, x = _grid()
    return np.stack([((x + k * y) * 256 // period) % 256 for k, period in ((1, 8), (2, 11), (-1, 16))])


def extremes() -> np.ndarray:
    """Left half black, right half white, and the two last rows the other way."""
    _, x = _grid()
    image = np.where(x < SIZE // 2, 0, 255)
    image[-2:] = 255 - image[-2:]
    return np.stack([image, image, 255 - image])


def corners() -> np.ndarray:
    """A single bright pixel in each corner and one in the middle: the padding shows."""
    image = np.zeros((3, SIZE, SIZE), np.int64)
    for channel, (row, column) in enumerate(((0, 0), (0, -1), (-1, 0))):
        image[channel, row, column] = 255
    image[:, -1, -1] = 200
    image[:, SIZE // 2, SIZE // 2] = 255
    return image
