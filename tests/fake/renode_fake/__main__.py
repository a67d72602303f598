# SPDX-License-Identifier: Apache-2.0
"""A Renode 1.16.1 for tests that have none: its monitor, terminals and gdb server around a QEMU that runs the real firmware.

What it does, byte for byte, is tests/fake/renode-console.txt; tests/python/test_fake_renode.py compares. The
knobs that tests turn (FAKE_RENODE_*) are in knobs.py, the boards in boards.py.
"""
import sys

sys.path[0] = sys.path[0].rpartition("/")[0]

from renode_fake import home, options  # noqa: E402  (the package is found only now)


def main():
    chosen = options.parse(sys.argv[1:])
    if chosen is None:
        return 0
    home.prepare()
    from renode_fake import program
    return program.run(chosen)


sys.exit(main())
