# SPDX-License-Identifier: Apache-2.0
"""The suite of all drivers for Renode: properties, monitor, loading, the Python package."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import cases  # noqa: E402
import part_api  # noqa: E402
import part_device  # noqa: E402
import part_load  # noqa: E402

globals().update(cases.suites(part_api, "renode"))
globals().update(cases.suites(part_device, "renode"))
globals().update(cases.suites(part_load, "renode"))

if __name__ == "__main__":
    unittest.main()
