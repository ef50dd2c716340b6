# SPDX-License-Identifier: Apache-2.0
"""Windows that slide over an image: attributes of Conv and the pools, resolved to explicit numbers."""

from __future__ import annotations

from collections.abc import Sequence

from q8emu.errors import BadModel
from q8emu.graph import Node
from q8emu.ops.base import require

Resolved = dict[str, tuple[int, ...]]


def resolve(
    node: Node, image: Sequence[int], kernel: Sequence[int], out: Sequence[int], *, is_pool: bool = False
) -> Resolved:
    """Kernel, strides, dilations and pads (top, left, bottom, right) of a 1-D or 2-D window; 1-D gets height 1.

    Args:
        node: as the file spells it.
        image: spatial shape of the input, one or two numbers.
        kernel: spatial shape of the window, as many.
        out: spatial shape of the output, as many.
        is_pool: refuse the automatic padding that would be negative, on which the runtimes disagree for pools?

    Raises:
        UnsupportedOperator: the window has three or more dimensions.
    """
    rank = len(image)
    require(rank in (1, 2), node, f"a {rank}-D window; expected 1-D or 2-D.")
    require(len(kernel) == rank, node, f"a kernel of {len(kernel)} dimensions over an image of {rank}.")
    strides = tuple(node.attrs.get("strides") or (1,) * rank)
    dilations = tuple(node.attrs.get("dilations") or (1,) * rank)
    require(len(strides) == rank and len(dilations) == rank, node, "strides or dilations of another rank.")
    require(min(*strides, *dilations, *kernel) >= 1, node, "a stride, dilation or kernel size below 1.")
    pads = _pads(node, image, kernel, out, strides, dilations)
    spans = [(o - 1) * s + (k - 1) * d + 1 for k, o, s, d in zip(kernel, out, strides, dilations, strict=True)]
    negative = any(span < i for span, i in zip(spans, image, strict=True))
    same = str(node.attrs.get("auto_pad", "NOTSET")).startswith("SAME")
    require(not (is_pool and same and negative), node, "auto_pad SAME that comes to a negative padding.")
    require(len(pads) == 2 * rank and min(pads) >= 0, node, f"pads {list(pads)}; expected {2 * rank} of 0 or more.")
    if rank == 1:
        strides, dilations, kernel, pads = (1, *strides), (1, *dilations), (1, *kernel), (0, pads[0], 0, pads[1])
    return {"kernel": tuple(kernel), "strides": strides, "dilations": dilations, "pads": pads}


def _pads(
    node: Node,
    image: Sequence[int],
    kernel: Sequence[int],
    out: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[int, ...]:
    auto = node.attrs.get("auto_pad", "NOTSET")
    if auto == "NOTSET":
        return tuple(node.attrs.get("pads") or (0,) * (2 * len(image)))
    if auto == "VALID":
        return (0,) * (2 * len(image))
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise BadModel(
            f"{node.where()}: auto_pad '{auto}' is unknown; expected NOTSET, SAME_UPPER, SAME_LOWER or VALID."
        )
    total = [
        max((o - 1) * s + (k - 1) * d + 1 - i, 0)
        for i, k, o, s, d in zip(image, kernel, out, strides, dilations, strict=True)
    ]
    small, large = [t // 2 for t in total], [t - t // 2 for t in total]
    return tuple(small + large if auto == "SAME_UPPER" else large + small)
