# SPDX-License-Identifier: Apache-2.0
"""The record of a hardware's arithmetic: every decision, its legal values and what they mean.

Each decision is a closed list, or an integer with a range: a new arithmetic adds a value to one of them together with
the code that means it. An operator that has no rule under a profile is refused when the model is lowered.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from q8emu.numerics.multiplier import RULES, Form, Rescaling, Rule

Rounding = Literal[
    "half_even",
    "half_up",
    "half_away",
    "half_down",
    "half_to_zero",
    "floor",
    "ceil",
    "toward_zero",
    "to_odd",
    "hwguide",
]


@dataclass(frozen=True)
class Within:
    """The least and the greatest value of an integer field."""

    least: int
    greatest: int


Overrides = tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]


@dataclass(frozen=True, slots=True)
class Numerics:
    """Every arithmetic decision of one backend or chip.

    Attributes:
        name: how the profile is called.
        reproduces: the runtime, version range and instruction set that it is held to by a test; or what it describes.
        oracle: the name of the backend whose bits it promises; empty where there is none.
        scale: form of the requantization scale, per channel; "float32": f32(f32(x_scale * w_scale) / y_scale);
            "float32_reciprocal": f32(f32(x_scale * w_scale) * f32(1 / y_scale));
            "float64": the binary64 quotient x_scale * w_scale / y_scale, half_away(f64(acc * scale)); "multiplier":
            that quotient as an integer and a shift; "multiplier_float32": these two as one float32 scale;
            "power_of_two": that quotient as a shift alone.
        multiplier_bits: width of the signed multiplier in bits; n: it lies in [2^(n - 2), 2^(n - 1)).
        fraction_bits: 0: the shift follows the factor; n: every factor is an integer over 2^n, not normalized.
        mantissa: how a factor is rounded to the bits of its multiplier.
        carry: what becomes of a mantissa that rounds up to 2^(multiplier_bits - 1); "renormalize": half of it, and one
            less in the shift; "saturate": one less.
        snap: a factor that has to be a power of two and is not; "refuse": the model; "nearest": the power of two with
            the smaller ratio to it.
        first_shift: bits that a first stage of rounding takes away from the product; 0: there is one stage.
        first_rounding: the rule of the first stage, see `rounding`.
        rounding: the rule of the only or last stage of the requantization; the zero point is added after it. float32
            scales go with half_even, float64 ones with half_away.
        beyond: what happens to intermediate values beyond int32 between accumulator and output; "wrap" or "saturate".
        conversion: what a float32 product beyond int32 becomes; "saturate": the nearest value; "x86": from 2^31 on,
            the least one.
        float_bias: a bias that the model has in float32, s being x_scale * w_scale; "quantized": half_even(f32(bias /
            s)) as int32; "reciprocal": half_even(f32(bias * f32(1 / s))) as int32; "added": f32(bias / s) added to the
            float32 accumulator; fma(bias, f32(1 / s), f32(accumulator)) where s is one for the whole tensor.
        depthwise: "requantize": as the other products; "ruy_x86_by_8": whole groups of 8 channels in two half_up
            stages, the others by "double_rounding".
        grouped: convolutions in groups; "requantize": as the other products; "double_rounding".
        fully_connected: "requantize": as the other products; "float64": half_away(f64(acc * scale)) with the binary64
            scale as it is; "float32_product": as the other products, x_scale * w_scale of a whole tensor in float32.
        rescaling: the rule of sums, element-wise products, means and piecewise linear functions; "requantize": that of
            the products; "double_rounding": 32 bits, half_up at bit 31, then half_away.
        accumulator_bits: width in bits of the sum of products.
        overflow: what happens to a sum beyond that width; "wrap": modulo 2^accumulator_bits; "saturate": after each
            product, the bias first, then kernel rows, kernel columns, channels; "refuse": a model in which some input
            could get there, by proof from its weights; "pair_saturate": in convolutions and products of uint8 by int8,
            not depthwise ones nor ConvInteger, each sum of two neighbouring products saturates to int16 before it is
            added; "pair_saturate_all": in those too; "pair_saturate_depthwise": in those of 3x3 or 5x5 taps, a
            multiple of 8 channels, one or two outputs each, stride 1 or 2 and unchanged size, and in nothing else;
            the last two refuse convolutions in groups that FBGEMM computes outside its arrays;
            "pairs_of_taps": wraps; depthwise weights with which a sum of two taps could leave int16 are refused.
        bias_bits: width in bits of a bias; a larger one is refused.
        add: "fma": two fused multiply-adds with the zero points inside the rounding (QLinearAdd on x86-64 with FMA);
            "left_shift": both operands rescaled to twice the larger scale with 20 fraction bits, summed, requantized;
            "common_shift": each operand times a multiplier of up to 21 bits, both for one shift, the sum half_up;
            "float": dequantized, added in float32, quantized, as the float ONNX operators do; "common_scale": each
            operand requantized to the output's scale by itself, then added; "per_branch": each operand times a float32
            ratio to the output's scale, rounded and saturated, then added; "converted": the smaller scale rescaled to
            the larger scale and rounded, the sum requantized; "aligned": both shifted left to the finer scale, the sum
            requantized;
            "float_reciprocal": dequantized and added in float32, then half_even of f32(sum * f32(1 / y_scale)) for
            whole groups of 64 elements as they are in memory, where fma(a, a_scale, f32(-a_zero_point * a_scale))
            dequantizes; quantized by `quantize` for the others; "float_reciprocal_added": the others by half_even of
            f32(f32(sum * f32(1 / y_scale)) + y_zero_point);
            "common_shift_22": both ratios to y_scale as integers over one power of two, the larger with 22 bits,
            half_away of their sum; "qlinear_22": that where ONNX Runtime fuses the addition, else "float".
        multiply: "ratio": integer product, float32 ratio, zero point inside the rounding (QLinearMul);
            "ratio_fused": that in one fused multiply-add;
            "requantize": integer product, requantized, a_scale * b_scale in float32; "requantize_float64": in binary64;
            "float32": requantized with the float32 scale f32(f32(a_scale * b_scale) / y_scale); "none": refused;
            "float_reciprocal": integer product times f32(f32(a_scale * b_scale) * f32(1 / y_scale)); "float":
            dequantized, multiplied in float32, quantized.
        average_pool: "dequantized_sum": float32 sum of dequantized taps, zero point inside the rounding;
            "raw_half_away": half_away(sum / count) of the quantized values as they are; "centred_half_away": of the
            values less their zero point; "raw_toward_zero": the raw quotient without its fraction; "none": refused;
            "by_memory": times f32(1 / count), of the sum as it is in images stored channels-first, else of the centred
            sum, the zero point added after the rounding in whole groups of 16 channels and inside of it in the others,
            of adaptive pools fused in whole groups of 8; "by_memory_8": as "by_memory", all in groups of 8; "ratio":
            centred sum times f32(x_scale / f32(x_scale * count)); "float": AveragePool and GlobalAveragePool as ONNX
            Runtime's float operators, dequantized and quantized.
        mean: "float_sum": float32 sum in the order of ONNX Runtime; "requantize": the sum of the centred values,
            requantized with the multiplier divided by the count; "requantize_quotient": the multiplier is that of
            1 / count * (x_scale / y_scale); "requantize_by_16": as "requantize", and for height and width
            kept as axes the raw sum, groups of 16 channels in two half_up stages, the others by "double_rounding";
            "affine": the raw sum in float32, times a scale, plus an addend that contains both zero points, half_even;
            "pool_only": GlobalAveragePool by f32(x_scale / f32(y_scale * count)), ReduceMean refused;
            "shift_toward_zero": the sum over a count that is a power of two, by the shift, without its fraction.
        softmax: "float_table": float32 exponentials and sum; "fixed_point": Q0.31 exponentials, Q12.19 sum;
            "float_reciprocal": float32 exponentials, times the reciprocal of their sum, half up; "float_by_8": as ONNX
            Runtime's float operator with AVX2, eight partial sums, dequantized and quantized.
        unary: "float": Q(f(DQ(x))) with the float32 functions of ONNX Runtime; "half_away": integers rescaled by a
            multiplier where the operator is piecewise linear, else half_away(f32(f(DQ(x)) * f32(1 / y_scale))) with
            exp and tanh of glibc up to 2.40; "fixed_point": the same integers, Relu6 without rescaling, Logistic and
            Tanh of Q4.27 values; "rescaled": Relu only, rescaled by x_scale / y_scale in binary64; "half_even":
            LeakyRelu with multipliers of 8 fraction bits, half_up, else half_even(f32(f32(f(DQ(x)) * f32(1 / y_scale))
            + y_zero_point)) with f of binary64; "none": refused.
        requantize: from one scale and zero point to another; "float": dequantized and quantized; "rescaling": by that
            rule; "rescaling_by_16": whole groups of 16 elements in two half_up stages, the others by that rule;
            "float_by_8": dequantized and quantized, in the concatenation of channels-last images whole groups of 8
            channels by half_even of f32(x * f32(1 / scale));
            "eight_bits": a multiplier of 8 fraction bits, half_up.
        quantize: how real values become quantized ones; "half_even" or "half_away" of f32(x / scale);
            "reciprocal": half_even of f32(x * f32(1 / scale));
            "reciprocal_by_8": half_even of f32(x * f32(1 / scale)) for whole groups of 8 elements, half_away of
            f64(x / scale) for the others; "half_even_fused": half_even of fma(x, f32(1 / scale), zero_point).
        dequantize: "product": f32((q - zero_point) * scale); "affine_by_8": f32(f32(q * scale) + f32(-zero_point *
            scale)) for whole groups of 8 elements, the product for the others.
        beyond_int16: element-wise sums and products that leave int16 before the clamp; "keep": clamped; "refuse": the
            model, since some lanes of the kernels wrap them and others do not.
        beyond_int32: sums of products that times their factor leave int32 before the clamp; "keep": as the rule says;
            "refuse": a model in which some input could get there, since the backend promises nothing for it.
        delegate: "none"; "xnnpack": operators that LiteRT does not give to XNNPACK, for their kind or their scales, go
            by the profile `tflite`, and the bounds of a fused activation are half_even(f32(f32(bound / scale) +
            zero_point)) for the others.
        source: where the decisions come from.
        overrides: other values of fields for single operators, by the operator's name.
    """

    name: str
    reproduces: str
    oracle: str
    scale: Literal["float32", "float32_reciprocal", "float64", "multiplier", "multiplier_float32", "power_of_two"]
    multiplier_bits: Annotated[int, Within(8, 32)]
    fraction_bits: Annotated[int, Within(0, 62)]
    mantissa: Literal["half_away", "half_even", "floor"]
    carry: Literal["renormalize", "saturate"]
    snap: Literal["refuse", "nearest"]
    first_shift: Annotated[int, Within(0, 31)]
    first_rounding: Rounding
    rounding: Rounding
    beyond: Literal["wrap", "saturate"]
    conversion: Literal["saturate", "x86"]
    float_bias: Literal["quantized", "reciprocal", "added"]
    depthwise: Literal["requantize", "ruy_x86_by_8"]
    grouped: Literal["requantize", "double_rounding"]
    fully_connected: Literal["requantize", "float64", "float32_product"]
    rescaling: Literal["requantize", "double_rounding"]
    accumulator_bits: Annotated[int, Within(16, 32)]
    overflow: Literal[
        "wrap", "saturate", "refuse", "pair_saturate", "pair_saturate_all", "pair_saturate_depthwise", "pairs_of_taps"
    ]
    bias_bits: Annotated[int, Within(8, 32)]
    add: Literal[
        "fma",
        "left_shift",
        "common_shift",
        "float",
        "common_scale",
        "per_branch",
        "converted",
        "aligned",
        "float_reciprocal",
        "float_reciprocal_added",
        "common_shift_22",
        "qlinear_22",
    ]
    multiply: Literal[
        "ratio",
        "ratio_fused",
        "requantize",
        "requantize_float64",
        "float32",
        "float_reciprocal",
        "float",
        "none",
    ]
    average_pool: Literal[
        "dequantized_sum",
        "raw_half_away",
        "centred_half_away",
        "raw_toward_zero",
        "by_memory",
        "by_memory_8",
        "ratio",
        "float",
        "none",
    ]
    mean: Literal[
        "float_sum",
        "requantize",
        "requantize_quotient",
        "requantize_by_16",
        "affine",
        "pool_only",
        "shift_toward_zero",
    ]
    softmax: Literal["float_table", "fixed_point", "float_reciprocal", "float_by_8"]
    unary: Literal["float", "half_away", "fixed_point", "rescaled", "half_even", "none"]
    requantize: Literal["float", "rescaling", "rescaling_by_16", "eight_bits", "float_by_8"]
    quantize: Literal["half_even", "half_away", "reciprocal", "reciprocal_by_8", "half_even_fused"]
    dequantize: Literal["product", "affine_by_8"]
    beyond_int16: Literal["keep", "refuse"]
    beyond_int32: Literal["keep", "refuse"]
    delegate: Literal["none", "xnnpack"]
    source: str
    overrides: Overrides = ()

    @property
    def product(self) -> Rescaling:
        """How accumulators of products are requantized by integers."""
        rule = Rule(self.rounding, self.first_shift, self.first_rounding, self.beyond)
        bits = 0 if self.scale == "power_of_two" else self.multiplier_bits
        form = Form(bits, self.fraction_bits, self.mantissa, self.carry, self.snap)
        return Rescaling(rule, form, self.scale == "multiplier_float32")

    @property
    def rescale(self) -> Rescaling:
        """How sums, element-wise products, means and piecewise linear functions are requantized by integers."""
        return Rescaling(RULES["double_rounding"]) if self.rescaling == "double_rounding" else self.product

    @property
    def digest(self) -> str:
        """SHA-256 over the decisions; the name, the descriptions and the oracle decide nothing."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        decided = {k: v for k, v in fields.items() if k not in ("name", "reproduces", "oracle", "source")}
        decided["overrides"] = {op: dict(own) for op, own in self.overrides if own}
        return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()

    def for_operator(self, op: str) -> Numerics:
        """The record with the overrides for this operator in place."""
        own = dict(self.overrides).get(op, ())
        return dataclasses.replace(self, **dict(own), overrides=()) if own else self
