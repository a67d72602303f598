# SPDX-License-Identifier: Apache-2.0
"""The suite of all drivers for Renode: input, ports and pseudo-terminals."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cases  # noqa: E402
import part_input  # noqa: E402
import part_endpoint  # noqa: E402

globals().update(cases.suites(part_input, "renode"))
globals().update(cases.suites(part_endpoint, "renode"))

if __name__ == "__main__":
    unittest.main()
