# SPDX-License-Identifier: Apache-2.0
"""`python -m q8emu` is the command `q8emu`."""

from q8emu.cli import main

if __name__ == "__main__":
    main()
