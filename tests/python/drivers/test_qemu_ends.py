# SPDX-License-Identifier: Apache-2.0
"""The suite of all drivers for QEMU: how instances end, and what follows."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cases  # noqa: E402
import part_end  # noqa: E402

globals().update(cases.suites(part_end, "qemu"))

if __name__ == "__main__":
    unittest.main()
