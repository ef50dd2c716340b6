# SPDX-License-Identifier: Apache-2.0
"""The zip archive of a TorchScript file: its members, bounded. Nothing in it is executed or unpickled by Python.

Every size is checked before anything of that size is made; numbers are stored as they are, and unpack to nothing more.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from q8emu.errors import BadInput, BadModel, TooLarge
from q8emu.unpickle import Damaged

MAX_TEXT = 2**24
"""Largest member in bytes that is a pickle."""

MAX_CODE = 2**21
"""Bytes of code in all; parsed, it takes a few hundred times as much memory."""

MAX_CHANNELS = 2**22
"""Scales of quantized tensors in all."""

MAX_MEMBERS = 2**17


def is_torch(model: Path) -> bool:
    """Does the file begin as a zip archive? Paths that cannot be read do not."""
    try:
        with model.open("rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False


class Archive:
    """The members of the file by their names below its one folder."""

    def __init__(self, path: Path) -> None:
        """Read the directory of the archive.

        Raises:
            BadInput: there is no such file.
            BadModel: it is no TorchScript archive.
        """
        if not path.is_file():
            raise BadInput(f"There is no model file '{path}'; expected the path of a TorchScript file.")
        self._size = path.stat().st_size
        try:
            self._zip = zipfile.ZipFile(path)
            infos = self._zip.infolist()
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as problem:
            raise BadModel(f"'{path}' is not a readable TorchScript file ({problem}); save it again.") from problem
        if len(infos) > MAX_MEMBERS:
            raise TooLarge(f"'{path}' has {len(infos):,} members; the limit is {MAX_MEMBERS:,}.")
        self._members = {info.filename.partition("/")[2]: info for info in infos}
        self._code = self._channels = 0
        if len(self._members) < len(infos):
            raise BadModel(f"'{path}' has two members of one name; expected a file that torch.jit.save wrote.")
        if sum(info.compress_size for info in infos) > self._size:
            raise BadModel(f"'{path}' has members that overlap; expected a file that torch.jit.save wrote.")
        if "data.pkl" not in self._members or not any(name.startswith("code/") for name in self._members):
            raise BadModel(
                f"'{path}' is a zip archive without TorchScript code; expected a file that torch.jit.save wrote "
                "(a state dict or a pickled module has to be traced first: torch.jit.trace)."
            )
        if self.has("byteorder") and self.text("byteorder").strip() != b"little":
            raise BadModel(f"'{path}' holds big-endian numbers; expected little-endian ones.")

    def has(self, name: str) -> bool:
        """Is there a member of this name?"""
        return name in self._members

    def text(self, name: str) -> bytes:
        """A member that is a pickle or a word; it may be compressed.

        Raises:
            Damaged: it is absent or not readable.
            TooLarge: it passes the limit.
        """
        return self._read(name, MAX_TEXT)

    def code(self, name: str) -> bytes:
        """A member that is code.

        Raises:
            Damaged: it is absent or not readable.
            TooLarge: it passes the limit, or all that were asked for do.
        """
        content = self._read(name, MAX_CODE)
        self._code += len(content)
        if self._code > MAX_CODE:
            raise TooLarge(f"The TorchScript file has more than {MAX_CODE:,} bytes of code, the limit.")
        return content

    def count_channels(self, count: int) -> None:
        """Count scales before they are unpacked; few bytes of a pickle can ask for many.

        Raises:
            TooLarge: all together pass the limit.
        """
        self._channels += count
        if self._channels > MAX_CHANNELS:
            raise TooLarge(f"The TorchScript file has more than {MAX_CHANNELS:,} scales, the limit.")

    def storage(self, name: str, size: int) -> bytes:
        """A member of exactly this many bytes, stored as it is."""
        info = self._members.get(name)
        if info is None or info.file_size != size or info.compress_type != zipfile.ZIP_STORED or size > self._size:
            raise Damaged(f"no member '{name}' of {size} bytes, stored without compression")
        return self._read(name, size)

    def _read(self, name: str, limit: int) -> bytes:
        if name not in self._members:
            raise Damaged(f"no member '{name}'")
        if self._members[name].file_size > limit:
            raise TooLarge(f"The member '{name}' of the TorchScript file has more than {limit:,} bytes, the limit.")
        try:
            with self._zip.open(self._members[name]) as stream:
                content = stream.read(limit + 1)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as problem:
            raise Damaged(f"a member '{name}' that is not readable ({problem})") from problem
        except Exception as problem:  # zlib.error, lzma.LZMAError: one type per compression
            raise Damaged(f"a member '{name}' that does not unpack ({problem})") from problem
        if len(content) > limit:
            raise TooLarge(f"The member '{name}' of the TorchScript file unpacks to more than {limit:,} bytes.")
        return content
