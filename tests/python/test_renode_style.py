# SPDX-License-Identifier: Apache-2.0
"""What other versions of Renode do otherwise: after 1.16 an error's reason stands on the line that names the command, and SIGTERM is a quit.
Some of the tests for 1.16, on a fake that does so."""

import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import test_renode_end  # noqa: E402
import test_renode_kill  # noqa: E402
import test_renode_monitor  # noqa: E402
import test_renode_setup  # noqa: E402
from renode_case import REAL, RenodeCase  # noqa: E402

CHOSEN = (
    (test_renode_setup.Refused, "test_no_such_device", "test_a_device_that_is_no_uart", "test_platform_file", "test_image_that_goes",
     "test_option"),
    (test_renode_end.Stop, "test_every_byte", "test_quit_of_the_user"),
    (test_renode_end.Otherwise, "test_stop_of_a_frozen_one", "test_killed"),
    (test_renode_monitor.Properties, "test_wrong_values", "test_read_only", "test_nearest"),
    (test_renode_monitor.Users, "test_answers"),
    (test_renode_kill.AtWork, "test_debugger"),
)


class Head:
    """Before a case: its emulators are of that style."""

    def setUp(self):
        super().setUp()
        self.environment["FAKE_RENODE_STYLE"] = "head"


def head(case, *names):
    others = {name: None for name in dir(case) if name.startswith("test_") and name not in names}
    return type("Head" + case.__name__ + case.__module__.title().replace("_", ""), (Head, case), {**others, "__module__": __name__})


if not REAL:
    globals().update({case.__name__: case for case in (head(*row) for row in CHOSEN)})


@unittest.skipIf(REAL, "optional: fake: a real one has a style of its own")
class HeadSignals(Head, RenodeCase):
    def test_terminated(self):
        """It ends in good order, of its own; nobody knows whether all was read."""
        self.boot("seq.elf", "--restart", "on-failure")
        self.wait_output(2000)
        os.kill(self.tree()[1], signal.SIGTERM)
        end = self.wait_end()
        self.assertEqual((end["cause"], end["tail_unknown"]), ("stopped", True))
        self.assertIn("quit by itself", end["message"])
        self.assert_nothing_left()

    def test_launcher_is_terminated(self):
        """It does not exec, and takes nobody with it; we do."""
        self.boot("seq.elf")
        os.kill(self.tree()[0], signal.SIGTERM)
        self.assertEqual(self.wait_end()["cause"], "killed")
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
