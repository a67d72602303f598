# SPDX-License-Identifier: Apache-2.0
"""The suite of all drivers for Renode: output from the first byte on, whatever dies."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cases  # noqa: E402
import part_output  # noqa: E402
import part_crash  # noqa: E402

globals().update(cases.suites(part_output, "renode"))
globals().update(cases.suites(part_crash, "renode"))

if __name__ == "__main__":
    unittest.main()
