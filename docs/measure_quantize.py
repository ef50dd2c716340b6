# SPDX-License-Identifier: Apache-2.0
"""Measure the table of docs/quantize.md: right answers of every quantization of the public ResNet8 on CIFAR-10.

python docs/measure_quantize.py --data DIR --model resnet8.onnx    # DIR holds CIFAR-10; rewrites docs/quantize.json

The model is the checkpoint of MLPerf Tiny: `q8emu convert pretrainedResnet.h5 resnet8.onnx`. Both spellings hold the
same parameters, so one of them is measured. Afterwards: `python docs/generate.py --write`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from q8emu.fingerprint import model_sha256
from q8emu.ptq.calibrate import METHODS
from q8emu.ptq.classifier import open_classifier
from q8emu.ptq.evaluate import evaluate
from q8emu.ptq.float_model import FloatModel, open_float
from q8emu.ptq.images import Images, choose
from q8emu.ptq.quantize_onnx import Settings, calibrated, quantized
from q8emu.ptq.samples import Samples

TARGET = Path(__file__).parent / "quantize.json"


def measure(
    model: FloatModel, samples: Samples, data: Path, images: Images, methods: list[str]
) -> list[dict[str, Any]]:
    """One row for each method, dtype and granularity."""
    inputs = model.image_inputs(samples.images(data))
    rows = []
    for method in methods:
        settings = Settings(method=method)
        ranges = calibrated(model, inputs, settings)
        for dtype in ("int8", "uint8"):
            for per_channel in (False, True):
                made = quantized(model, ranges, replace(settings, dtype=dtype, per_channel=per_channel))
                row = {"method": method, "dtype": dtype, "per_channel": per_channel, "bytes": len(made)}
                rows.append(row | {"correct": correct(made, images)})
                print(rows[-1], file=sys.stderr)
    return rows


def correct(made: bytes, images: Images) -> int:
    """Right answers of a model under the oracle `ort`, whose bits are q8emu's."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(made)
        return evaluate(open_classifier(path, "ort"), images.arrays, images.labels, prepare=images.prepare).correct


def main() -> None:
    """Measure and write docs/quantize.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the binary CIFAR-10 batches")
    parser.add_argument("--model", type=Path, required=True, help="the float model")
    parser.add_argument("--method", choices=sorted(METHODS), help="measure this one, and keep the rows of the others")
    args = parser.parse_args()
    import onnxruntime

    model, samples = open_float(args.model), Samples.from_training_set(args.data)
    images = choose(open_classifier(args.model, "ort"), data=args.data)
    known = json.loads(TARGET.read_text(encoding="utf-8"))["rows"] if args.method else []
    rows = measure(model, samples, args.data, images, [args.method] if args.method else list(METHODS))
    rows += [row for row in known if row["method"] != args.method]
    record = {
        "command": "python docs/measure_quantize.py --data DIR --model resnet8.onnx",
        "model_sha256": model_sha256(args.model),
        "onnxruntime": onnxruntime.__version__,
        "samples": samples.describe(),
        "images": len(images.labels),
        "float32": {"bytes": args.model.stat().st_size, "correct": correct(args.model.read_bytes(), images)},
        "rows": sorted(rows, key=lambda row: (row["method"], row["dtype"], row["per_channel"])),
    }
    TARGET.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
