# SPDX-License-Identifier: Apache-2.0
"""Rebuild the golden data and compare it byte for byte with what is committed.

    python golden/regenerate.py                 # everything that needs no dataset
    python golden/regenerate.py --data DIR      # CIFAR-10 in DIR: the calibration and the accuracy too
    python golden/regenerate.py --write         # replace what differs, and the manifest

Exit code 0: every file is the same, or its difference has an explanation that is printed (another version of what
makes it, another CPU under the oracle, another zlib around equal arrays). Exit code 1: a difference without one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script

from golden import archive, oracle, processors, vendor
from golden.artifacts import ACCURACY, RANGES, ROOT, TRAIN_LOG, WEIGHTS, Artifact, everything

MANIFEST = ROOT / "golden/manifest.json"
RETRAIN = "python golden/resnet8/train.py --data DIR --out OUT"
TRAINED = f"golden/resnet8/train.py; not rebuilt here, {RETRAIN} trains it again"

CPU = {"cpu floats": ("machine", "flags"), "cpu integers": ("machine", "saturates", "fused")}

Entry = dict[str, Any]


def entry(artifact: Artifact) -> Entry:
    """What the manifest says of a file."""
    found: Entry = {
        "sha256": hashlib.sha256(artifact.data).hexdigest(),
        "bytes": len(artifact.data),
        "how": artifact.how,
        "depends": list(artifact.depends),
    }
    if artifact.path.endswith(".npz"):
        found["content_sha256"] = archive.content_sha256(artifact.data)
    return found


def read_manifest() -> dict[str, Any]:
    """The committed manifest; empty when there is none yet."""
    if not MANIFEST.is_file():
        return {"files": {}, "versions": {}, "cpu": {}}
    made: dict[str, Any] = json.loads(MANIFEST.read_text())
    return made


def check_weights() -> str | None:
    """None, or why weights.npz is not what train_log.json says; the training itself is not run."""
    arrays = archive.read_npz((ROOT / WEIGHTS).read_bytes())
    found = hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()
    expected = json.loads((ROOT / TRAIN_LOG).read_text())["weights_sha256"]
    return None if found == expected else f"{WEIGHTS} has SHA-256 {found} over its arrays, {TRAIN_LOG} says {expected}"


def differing_conditions(manifest: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Which of the versions and of the CPU's properties are not those of the manifest."""
    versions, found = oracle.versions(), []
    for name in names:
        if name in CPU:
            old, new = manifest["cpu"], oracle.cpu()
            found += [f"cpu {key} {old.get(key)} → {new[key]}" for key in CPU[name] if old.get(key) != new[key]]
        elif manifest["versions"].get(name) != versions[name]:
            found.append(f"{name} {manifest['versions'].get(name)} → {versions[name]}")
    return found


def explain(artifact: Artifact, manifest: Mapping[str, Any]) -> str | None:
    """Why the rebuilt file differs from the committed one, None when nothing explains it."""
    committed = ROOT / artifact.path
    if not committed.is_file():
        return None
    if artifact.path.endswith(".npz"):
        same = archive.content_sha256(committed.read_bytes()) == archive.content_sha256(artifact.data)
        if same:
            return "its arrays are equal; another zlib packs them otherwise"
    conditions = differing_conditions(manifest, artifact.depends)
    return ", ".join(conditions) or None


def committed_differences(manifest: Mapping[str, Any]) -> list[str]:
    """Committed files that are not what the manifest says, and those that one of the two does not have."""
    found = []
    for path, told in manifest["files"].items():
        file = ROOT / path
        if not file.is_file():
            found.append(f"{path} is in the manifest and not on disk")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != told["sha256"]:
            found.append(f"{path} is not the file of the manifest")
    on_disk = {str(f.relative_to(ROOT)) for pattern in DATA for f in ROOT.glob(pattern)}
    found += [f"{path} is on disk and not in the manifest" for path in sorted(on_disk - set(manifest["files"]))]
    return found


DATA = (
    "golden/cases/*",
    "golden/models/*",
    "golden/vectors/*",
    "golden/vendor/*",
    "golden/processors/*",
    "golden/resnet8/*.json",
    "golden/resnet8/*.npz",
    "python/q8emu/models/*.npz",
    "python/q8emu/models/*.onnx",
)


def compare(artifacts: Iterable[Artifact], manifest: Mapping[str, Any]) -> tuple[list[Artifact], list[str], list[str]]:
    """The files that differ; the explained differences and the unexplained ones, in words."""
    differ, explained, unexplained = [], [], []
    for artifact in artifacts:
        file = ROOT / artifact.path
        if file.is_file() and file.read_bytes() == artifact.data:
            continue
        differ.append(artifact)
        reason = explain(artifact, manifest)
        if reason is None:
            unexplained.append(f"{artifact.path} {'differs' if file.is_file() else 'is missing'}")
        else:
            explained.append(f"{artifact.path} differs: {reason}")
    return differ, explained, unexplained


def write(artifacts: Iterable[Artifact], manifest: Mapping[str, Any]) -> None:
    """Replace the files and the manifest; what was not rebuilt keeps its entry."""
    files: dict[str, Entry] = {}
    for artifact in artifacts:
        file = ROOT / artifact.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(artifact.data)
        files[artifact.path] = entry(artifact)
    for path in (WEIGHTS, TRAIN_LOG):
        files[path] = entry(Artifact(path, (ROOT / path).read_bytes(), TRAINED, ()))
    for name, source in vendor.SOURCES.items():
        path = f"golden/vendor/{name}.npz"
        how = f"golden/vendor.py; not rebuilt here, it needs a library made of {source}"
        files[path] = entry(Artifact(path, (ROOT / path).read_bytes(), how, ()))
    for processor, source in processors.PROCESSORS.items():
        path = f"golden/processors/{processor}.npz"
        how = f"golden/processors.py; not rebuilt here, it needs an emulator: {source}"
        files[path] = entry(Artifact(path, (ROOT / path).read_bytes(), how, ()))
    kept = {p: e for p, e in manifest["files"].items() if p in (RANGES, ACCURACY) and p not in files}
    made = {"versions": oracle.versions(), "cpu": oracle.cpu(), "files": dict(sorted((files | kept).items()))}
    MANIFEST.write_text(json.dumps(made, indent=1) + "\n")


def main() -> int:
    """Rebuild, compare, report; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the binary CIFAR-10 batches")
    parser.add_argument("--write", action="store_true", help="replace what differs")
    args = parser.parse_args()
    manifest = read_manifest()
    artifacts = list(everything(args.data))
    differ, explained, unexplained = compare(artifacts, manifest)
    problem = check_weights()
    print(f"rebuilt {len(artifacts)} files, {len(artifacts) - len(differ)} are the same byte for byte")
    print(f"{WEIGHTS}: {problem or 'its arrays have the SHA-256 of the training log'}; to train again: {RETRAIN}")
    if args.data is None:
        print(f"{RANGES}, {ACCURACY}: not checked, they need CIFAR-10 (--data DIR)")
    if args.write:
        stale = differing_conditions(manifest, ("numpy", "onnx", "onnxruntime", "cpu floats"))
        if args.data is None and stale:
            print(f"nothing written: {', '.join(stale)}; then the calibration has to be made again too (--data DIR)")
            return 1
        write(artifacts, manifest)
        print(f"wrote {len(differ)} files and {MANIFEST.relative_to(ROOT)}")
        return 1 if problem else 0
    unexplained += committed_differences(manifest) + ([problem] if problem else [])
    for line in (*(f"explained: {e}" for e in explained), *(f"UNEXPLAINED: {u}" for u in unexplained)):
        print(line)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
