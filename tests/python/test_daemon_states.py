# SPDX-License-Identifier: Apache-2.0
"""In every state of the life cycle: the emulator is killed, the shim is killed, the daemon is killed, both are. Nothing is orphaned, nothing
is lost, the instance comes to where it belongs."""

import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import CALL_DEADLINE, instances_pb2, is_alive, read_proc, wait_for  # noqa: E402
from test_daemon_restart import ON_FAILURE, Restarts, policy, shims_below  # noqa: E402

STATE = instances_pb2.State
OVER = (STATE.STATE_ENDED, STATE.STATE_FAILED)


class States(Restarts):
    """Each reach_*() brings an instance into a state and keeps it there; what is to be undone so that it can go on is returned."""

    def freeze_helper(self):
        """Stops the daemon's child that has looked at the images of a start and waits for those of the next; None: it was not there any more."""
        self.start("hello.elf")
        self.stop()
        for pid in map(int, read_proc(self.daemon.pid, f"task/{self.daemon.pid}/children").split()):
            try:
                if read_proc(pid, "comm") == b"pwemud-helper\n":
                    os.kill(pid, signal.SIGSTOP)
                    return pid
            except OSError:
                continue
        return None

    def reach_preparing(self):
        for _ in range(100):
            self.helper = self.freeze_helper()
            self.starting = self.instances.Start.future(self.request("hello.elf", no_wait=True, restart=policy(ON_FAILURE)))
            wait_for(lambda: self.starting.done() or self.get().state == STATE.STATE_STARTING, "the start to begin")
            row = self.get()
            if self.helper is not None and row.state == STATE.STATE_STARTING and row.pid == 0 and is_alive(self.helper):
                return row
            wait_for(self.starting.done, "the start to be answered")
            self.stop()
        self.fail("no helper waited for its next job")

    def reach_booting(self):
        """It does not answer."""
        instance = self.start_stubborn()
        self.assertEqual(instance.state, STATE.STATE_STARTING)
        return instance

    def reach_running(self):
        return self.start("seq.elf", restart=policy(ON_FAILURE))

    def reach_paused(self):
        return self.start("hello.elf", pause=True, restart=policy(ON_FAILURE))

    def reach_stopping(self):
        instance = self.start_stubborn()
        request = instances_pb2.StopRequest(instance=self.ref(), grace_ms=600000)
        self.stopping = self.instances.Stop.future(request, timeout=CALL_DEADLINE)
        wait_for(lambda: self.get().state == STATE.STATE_STOPPING, "the stop to begin")
        return instance

    def reach_backoff(self):
        instance = self.start("hello.elf", restart=policy(ON_FAILURE, 1500, max_delay_ms=1500))
        os.kill(instance.pid, signal.SIGKILL)
        return self.wait_state(STATE.STATE_BACKOFF)

    # ---------------------------------------------------------------- what is killed

    def shims(self):
        return shims_below(self.dir)

    def kill_emulator(self, instance):
        if instance.pid > 0:
            os.kill(instance.pid, signal.SIGKILL)

    def kill_shim(self, _):
        for pid in self.shims():
            os.kill(pid, signal.SIGKILL)

    def kill_daemon(self, _):
        self.restart_daemon()

    def kill_daemon_and_emulator(self, instance):
        self.daemon.kill()
        self.kill_emulator(instance)
        self.start_daemon()

    def kill_daemon_and_shim(self, instance):
        self.daemon.kill()
        self.kill_shim(instance)
        self.start_daemon()

    # ---------------------------------------------------------------- what must hold

    def is_settled(self):
        rows = self.list()
        return not rows or rows[0].state in (STATE.STATE_RUNNING, STATE.STATE_PAUSED, STATE.STATE_BACKOFF, *OVER)

    def end_what_waits(self, state):
        """What is neither going on nor ending by itself: a user ends it. A helper that was frozen before it asked to die with its daemon
        sees that it is gone."""
        if state == "preparing" and is_alive(self.helper):
            os.kill(self.helper, signal.SIGCONT)
        rows = self.list()
        if state in ("preparing", "booting", "stopping") and rows and rows[0].state not in OVER:
            try:
                self.stop(grace_ms=1)
            except grpc.RpcError as error:  # it was quicker
                self.assertEqual(error.code(), grpc.StatusCode.FAILED_PRECONDITION, error.details())

    def check_runs_on(self, instance, kill, state):
        boot = instance.boot if kill == "daemon" and state != "backoff" else instance.boot + 1
        now = self.wait_boot(boot)
        self.assertTrue(is_alive(now.pid))
        if boot == instance.boot:
            self.assertEqual(now.pid, instance.pid)
        self.assertEqual(now.state == STATE.STATE_PAUSED, state == "paused")
        self.stop()

    def check(self, state, kill):
        instance = getattr(self, f"reach_{state}")()
        getattr(self, f"kill_{kill}")(instance)
        self.end_what_waits(state)
        wait_for(self.is_settled, f"{state}: to settle after the end of {kill}")
        if state in ("running", "paused", "backoff"):
            self.check_runs_on(instance, kill, state)
        for row in self.list():
            self.assertIn(row.state, OVER)
        self.assert_nothing_runs()
        self.assertEqual(self.shims(), [])
        run = os.path.join(self.daemon.state_dir, "run")
        wait_for(lambda: not os.path.isdir(run) or not os.listdir(run), "the run directory to be empty")


def add_tests():
    states = ("preparing", "booting", "running", "paused", "stopping", "backoff")
    kills = ("emulator", "shim", "daemon", "daemon_and_emulator", "daemon_and_shim")
    for state in states:
        for kill in kills:

            def test(self, state=state, kill=kill):
                self.check(state, kill)

            setattr(States, f"test_{state}_without_{kill}", test)


add_tests()
if __name__ == "__main__":
    unittest.main()
