# SPDX-License-Identifier: Apache-2.0
"""The suite of all drivers for Renode: debuggers."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cases  # noqa: E402
import part_gdb  # noqa: E402
import part_session  # noqa: E402

globals().update(cases.suites(part_gdb, "renode"))
globals().update(cases.suites(part_session, "renode"))

if __name__ == "__main__":
    unittest.main()
