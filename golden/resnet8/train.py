# SPDX-License-Identifier: Apache-2.0
"""Train the project's ResNet8 on CIFAR-10 and write its folded float weights.

The architecture is the image-classification network of MLPerf Tiny: a stem, three residual stacks of 16, 32 and 64
channels, global average pooling and a dense layer; "same" padding in the TensorFlow sense, so that the two strided
convolutions pad one row and one column at the end only. Pixels go in as 0..255; the factor 1/255 and every batch
normalization are folded into the written convolutions.

    python golden/resnet8/train.py --data DIR --epochs 64        # needs torch; writes weights.npz and train_log.json

Reproducible: every random choice comes from --seed, and algorithms are the deterministic ones. The same bits come back
on the same build of torch, the same kind of CPU and the same thread count (all three are in the log); elsewhere the
accuracy comes back, the bits need not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

HERE = Path(__file__).parent
TRAIN_FILES = tuple(f"data_batch_{i}.bin" for i in range(1, 6))


def read_cifar10(folder: Path, files: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Read binary CIFAR-10 batches: uint8 images [N, 3, 32, 32] and int64 labels [N]."""
    raw = np.concatenate([np.fromfile(folder / f, np.uint8).reshape(-1, 3073) for f in files])
    return torch.from_numpy(raw[:, 1:].reshape(-1, 3, 32, 32).copy()), torch.from_numpy(raw[:, 0].astype(np.int64))


class SameConv(nn.Module):
    """Convolution with TensorFlow's "same" padding, batch-normalized unless it is a shortcut."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1, normalized: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, stride, bias=not normalized)
        self.norm = nn.BatchNorm2d(cout) if normalized else nn.Identity()
        total = kernel - stride if kernel > stride else 0  # 32 and 16 divide by the stride
        self.pads = (total // 2, total - total // 2, total // 2, total - total // 2)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(F.pad(x, self.pads)))

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights [O, I, KH, KW] and bias [O] with the batch normalization folded in, in float64."""
        w = self.conv.weight.detach().double()
        if not isinstance(self.norm, nn.BatchNorm2d):
            assert self.conv.bias is not None
            return w.numpy(), self.conv.bias.detach().double().numpy()
        mean, var = self.norm.running_mean, self.norm.running_var
        assert mean is not None and var is not None
        gain = self.norm.weight.detach().double() / torch.sqrt(var.double() + self.norm.eps)
        bias = self.norm.bias.detach().double() - mean.double() * gain
        return (w * gain[:, None, None, None]).numpy(), bias.numpy()


class ResNet8(nn.Module):
    """MLPerf Tiny's ResNet8 on x[N, 3, 32, 32] in 0..1, giving logits [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 16, 3)
        self.stack1_conv1, self.stack1_conv2 = SameConv(16, 16, 3), SameConv(16, 16, 3)
        self.stack2_conv1, self.stack2_conv2 = SameConv(16, 32, 3, 2), SameConv(32, 32, 3)
        self.stack2_shortcut = SameConv(16, 32, 1, 2, normalized=False)
        self.stack3_conv1, self.stack3_conv2 = SameConv(32, 64, 3, 2), SameConv(64, 64, 3)
        self.stack3_shortcut = SameConv(32, 64, 1, 2, normalized=False)
        self.dense = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(x + self.stack1_conv2(F.relu(self.stack1_conv1(x))))
        x = F.relu(self.stack2_shortcut(x) + self.stack2_conv2(F.relu(self.stack2_conv1(x))))
        x = F.relu(self.stack3_shortcut(x) + self.stack3_conv2(F.relu(self.stack3_conv1(x))))
        logits: Tensor = self.dense(x.mean((2, 3)))
        return logits


def augment(x: Tensor, rng: torch.Generator) -> Tensor:
    """Shift by up to 4 pixels in each direction and mirror at random; x uint8[N, 3, 32, 32] to float 0..1."""
    n = len(x)
    padded = F.pad(x, (4, 4, 4, 4))
    dy, dx = (torch.randint(0, 9, (n, 1), generator=rng) for _ in range(2))
    rows, cols = dy + torch.arange(32), dx + torch.arange(32)
    mirror = torch.rand(n, 1, generator=rng) < 0.5
    cols = torch.where(mirror, cols.flip(1), cols)
    out = padded[torch.arange(n)[:, None, None], :, rows[:, :, None], cols[:, None, :]]  # [N, 32, 32, 3]: channels last
    return out.permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def accuracy(net: nn.Module, x: Tensor, labels: Tensor) -> float:
    """Percent of images whose largest logit is the label."""
    net.eval()
    right = sum(
        int((net(xb.float().div(255).contiguous(memory_format=torch.channels_last)).argmax(1) == lb).sum())
        for xb, lb in zip(x.split(500), labels.split(500), strict=True)
    )
    return 100 * right / len(x)


def train(args: argparse.Namespace) -> tuple[ResNet8, list[dict[str, float]]]:
    """Run the schedule; returns the averaged network and one record per epoch."""
    x, labels = read_cifar10(args.data, TRAIN_FILES)
    x_test, labels_test = read_cifar10(args.data, ("test_batch.bin",))
    rng = torch.Generator().manual_seed(args.seed)
    net = ResNet8().to(memory_format=torch.channels_last)
    average = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999), use_buffers=True
    )
    steps = len(x) // args.batch
    optimizer = torch.optim.SGD(net.parameters(), lr=args.rate, momentum=0.9, nesterov=True, weight_decay=args.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, args.rate, total_steps=steps * args.epochs, pct_start=0.15, final_div_factor=1e3
    )
    log: list[dict[str, float]] = []
    for epoch in range(args.epochs):
        start, total = time.time(), 0.0
        net.train()
        order = torch.randperm(len(x), generator=rng)[: steps * args.batch]
        for index in order.split(args.batch):
            loss = F.cross_entropy(net(augment(x[index], rng)), labels[index], label_smoothing=args.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(net)
            total += loss.item()
        record = {"epoch": epoch, "loss": round(total / steps, 4), "seconds": round(time.time() - start, 1)}
        if epoch % 5 == 4 or epoch == args.epochs - 1:
            record["test_percent"] = accuracy(average.module, x_test, labels_test)
        log.append(record)
        print(json.dumps(record), flush=True)
        write(average.module, log, args)
    return average.module, log


def write(net: nn.Module, log: list[dict[str, float]], args: argparse.Namespace) -> None:
    """Write the folded weights and the log beside this script."""
    assert isinstance(net, ResNet8)
    arrays: dict[str, np.ndarray] = {}
    for name, layer in net.named_children():
        if isinstance(layer, SameConv):
            w, b = layer.folded()
            w = w / 255 if name == "stem" else w
        else:
            assert isinstance(layer, nn.Linear)
            w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        arrays[f"{name}.weight"], arrays[f"{name}.bias"] = w.astype(np.float32), b.astype(np.float32)
    np.savez(args.out / "weights.npz", **arrays)
    settings = {k: v for k, v in vars(args).items() if k not in ("data", "out")}
    record = {
        "settings": settings,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "weights_sha256": hashlib.sha256(b"".join(arrays[k].tobytes() for k in sorted(arrays))).hexdigest(),
        "test_percent": log[-1].get("test_percent"),
        "epochs": log,
    }
    (args.out / "train_log.json").write_text(json.dumps(record, indent=1) + "\n")


def main() -> None:
    """Parse the settings, train, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the binary CIFAR-10 batches")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--epochs", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--decay", type=float, default=3e-4)
    parser.add_argument("--smoothing", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    net, log = train(args)
    print(f"float32 accuracy on the 10,000 test images: {log[-1]['test_percent']} %")


if __name__ == "__main__":
    main()
