# SPDX-License-Identifier: Apache-2.0
"""A PC with AVX-512 and VNNI, emulated instruction by instruction, for oracles that compute otherwise there.

    python tests/guest_machine.py build FOLDER
    python tests/guest_machine.py run FOLDER --guests 2 -- python tests/conformance_table.py --guests FOLDER ...

`build` makes a small Linux with this Python, q8emu and PyTorch; `run` starts so many machines, runs a command and stops
them. Needs Bochs 3.0 (./configure --enable-x86-64 --enable-avx --enable-evex --enable-long-phy-address
--enable-all-optimizations --with-nogui) and, from Debian: bochsbios vgabios isolinux syslinux-common xorriso
busybox-static kmod cpio e2fsprogs. Emulation takes some fifty times as long as a processor does.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from guest_mailbox import SIZE
from guest_oracle import Guest

TESTS = Path(__file__).parent
MODULES = ("ata_piix", "sd_mod", "crc32c_generic", "ext4")
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in {modules}; do /bin/busybox insmod /modules/$module; done
until [ -b /dev/sda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 -o ro /dev/sda /root
for folder in dev proc sys; do /bin/busybox mount --move /$folder /root/$folder; done
/bin/busybox mount -t tmpfs tmp /root/tmp
exec /bin/busybox switch_root /root /bin/busybox sh /start
"""
START = """#!/bin/busybox sh
export PYTHONHOME={base} PYTHONPATH=/site:/agent PYTHONDONTWRITEBYTECODE=1 HOME=/tmp OMP_NUM_THREADS=1
export MALLOC_MMAP_THRESHOLD_=1073741824 MALLOC_TRIM_THRESHOLD_=1073741824  # pages cost more than they hold
exec {python} -S /agent/guest_agent.py /dev/sdb /dev/sdc > /dev/ttyS0 2>&1
"""
BOOT = """default linux
label linux
kernel vmlinuz
append initrd=initrd.gz console=ttyS0,115200 quiet mitigations=off nokaslr random.trust_cpu=on tsc=reliable panic=-1
"""
# Cannon Lake with VNNI: Linux 6.1 does not get far on Bochs' Ice Lake.
MACHINE = """cpu: model=corei3_cnl, count=1, ips=100000000, reset_on_triple_fault=0, add_features="avx512vnni"
memory: guest=2048, host=2048
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
display_library: nogui
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path=root.img, mode=flat
ata0-slave: type=cdrom, path=../boot.iso, status=inserted
ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
ata1-master: type=disk, path=requests.img, mode=flat
ata1-slave: type=disk, path=replies.img, mode=flat
boot: cdrom
com1: enabled=1, mode=file, dev=console.txt
log: bochs.txt
clock: sync=none
panic: action=fatal
error: action=ignore
info: action=ignore
"""


def build(folder: Path) -> None:
    """Make the disk and the CD that machines start from."""
    folder.mkdir(parents=True, exist_ok=True)
    kernel = _kernel(folder / "kernel")
    _cd(folder, kernel)
    root = folder / "root"
    _root(root)
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    image = folder / "root.img"
    image.unlink(missing_ok=True)
    _run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", root, image, f"{size * 5 // 4 // 2**20 + 64}M")


def _kernel(folder: Path) -> Path:
    """The files of Debian's kernel."""
    if not folder.is_dir():
        folder.mkdir()
        depends = _said("apt-cache", "depends", "linux-image-amd64")
        package = depends.split("Depends: ")[1].split()[0]
        _run("apt-get", "download", package, cwd=folder)
        _run("dpkg", "-x", next(folder.glob("*.deb")), folder)
        _run("depmod", "-b", folder, _version(folder))
    return folder


def _version(kernel: Path) -> str:
    return next((kernel / "lib" / "modules").iterdir()).name


def _cd(folder: Path, kernel: Path) -> None:
    """The CD with the boot loader, the kernel and what it needs to find the disk."""
    first, cd = folder / "first", folder / "cd"
    for made in (first, cd):
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
    for name in ("bin", "dev", "proc", "sys", "root", "modules"):
        (first / name).mkdir()
    shutil.copy("/bin/busybox", first / "bin")
    names: list[str] = []
    for module in MODULES:
        for line in _said("modprobe", "-S", _version(kernel), "-d", kernel, "--show-depends", module).splitlines():
            path = Path(line.split()[1])
            if path.name not in names:
                names.append(path.name)
                shutil.copy(path, first / "modules")
    (first / "init").write_text(INIT.format(modules=" ".join(names)))
    (first / "init").chmod(0o755)
    listed = "\n".join(str(path.relative_to(first)) for path in first.rglob("*"))
    archive = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], input=listed.encode(), cwd=first, capture_output=True, check=True
    )
    (cd / "initrd.gz").write_bytes(gzip.compress(archive.stdout, 1))
    shutil.copy(next((kernel / "boot").glob("vmlinuz-*")), cd / "vmlinuz")
    shutil.copy("/usr/lib/ISOLINUX/isolinux.bin", cd)
    shutil.copy("/usr/lib/syslinux/modules/bios/ldlinux.c32", cd)
    (cd / "isolinux.cfg").write_text(BOOT)
    options = "-no-emul-boot -boot-load-size 4 -boot-info-table".split()
    _run("xorriso", "-as", "mkisofs", "-quiet", "-o", folder / "boot.iso", "-b", "isolinux.bin", *options, cd)


def _root(root: Path) -> None:
    """The disk: this Python, q8emu and PyTorch with what they need, the agent."""
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "dev", "proc", "sys", "tmp", "agent"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    base = Path(sys.base_prefix)
    library = f"python{sys.version_info.major}.{sys.version_info.minor}"
    left = shutil.ignore_patterns("site-packages", "test", "tests", "idlelib", "config-*", "*.a")
    shutil.copytree(base / "lib", _within(root, base / "lib"), ignore=left, symlinks=True)
    _within(root, base / "bin").mkdir()
    shutil.copy(base / "bin" / library, _within(root, base / "bin"))
    _run(sys.executable, "-m", "pip", "install", "-q", "--target", root / "site", f"{TESTS.parent}[torch]")
    for name in ("guest_agent.py", "guest_mailbox.py"):
        shutil.copy(TESTS / name, root / "agent")
    (root / "start").write_text(START.format(base=base, python=base / "bin" / library))
    binaries = [*root.rglob("*.so"), *root.rglob("*.so.*"), _within(root, base / "bin" / library)]
    for library_path in sorted(_libraries(binaries)):
        target = _within(root, library_path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library_path, target)


def _within(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _libraries(binaries: Sequence[Path]) -> set[Path]:
    """The libraries of the system that these files load."""
    told = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    words = {word for line in told.splitlines() if line.startswith("\t") for word in line.split()}
    return {Path(word) for word in words if word.startswith(("/lib", "/usr/lib"))}


@contextmanager
def running(folder: Path, number: int, bochs: str) -> Iterator[Guest]:
    """One machine, from its start to its end."""
    place = folder / f"guest{number}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    os.link(folder / "root.img", place / "root.img")
    for name in ("requests.img", "replies.img"):
        with (place / name).open("wb") as file:
            file.truncate(SIZE)
    (place / "machine").write_text(MACHINE)
    process = subprocess.Popen(
        [bochs, "-q", "-f", "machine"], cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        yield Guest(place)
    finally:
        process.kill()
        process.wait()


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    subprocess.run([str(word) for word in command], cwd=cwd, check=True)


def _said(*command: str | Path) -> str:
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def main() -> int:
    """Build, or run a command beside machines; its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("build", "run"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--guests", type=int, default=1, help="machines, each of which keeps one core busy")
    parser.add_argument("--bochs", default="bochs", help="the program")
    options, command = parser.parse_known_args()
    folder = options.folder.absolute()
    if options.what == "build":
        build(folder)
        return 0
    with ExitStack() as stack:
        for number in range(options.guests):
            stack.enter_context(running(folder, number, options.bochs))
        return subprocess.run(command[1:] if command[:1] == ["--"] else command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
