# SPDX-License-Identifier: Apache-2.0
"""The suite of all drivers for QEMU: lives of instances and what is refused."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cases  # noqa: E402
import part_life  # noqa: E402
import part_refusal  # noqa: E402

globals().update(cases.suites(part_life, "qemu"))
globals().update(cases.suites(part_refusal, "qemu"))

if __name__ == "__main__":
    unittest.main()
