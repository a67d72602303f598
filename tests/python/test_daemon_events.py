# SPDX-License-Identifier: Apache-2.0
"""Events: ordered, numbered, persistent, resumable; Watch tells every state to who is slow, and to who comes late."""

import os
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import grpc  # noqa: E402
from pwemu_fixture import CALL_DEADLINE, Attachment, Case, daemon_pb2, instances_pb2, instances_pb2_grpc, wait_for  # noqa: E402
from test_daemon_adopt import record_path  # noqa: E402
from test_review_core import limit_files  # noqa: E402

Code = grpc.StatusCode
STATE, WRITER, ATTACH, DETACH, WARNING, REMOVED, DAEMON = (
    getattr(instances_pb2, "EVENT_KIND_" + name) for name in ("STATE", "WRITER", "ATTACH", "DETACH", "WARNING", "REMOVED", "DAEMON")
)
STARTING, RUNNING, PAUSED, STOPPING, ENDED = (
    getattr(instances_pb2, "STATE_" + name) for name in ("STARTING", "RUNNING", "PAUSED", "STOPPING", "ENDED")
)


def without_doubles(values):
    """Neighbours that are equal are one."""
    return [value for number, value in enumerate(values) if number == 0 or values[number - 1] != value]


class Events(Case):
    def watch(self, name=None, **fields):
        if name is not None:
            fields["instance"] = self.ref(name)
        return self.instances.Watch(instances_pb2.WatchRequest(**fields), timeout=CALL_DEADLINE)

    def events(self, name=None, from_seq=1):
        """What is there now."""
        return list(self.watch(name, from_seq=from_seq, no_follow=True))

    def last(self):
        return self.control.Info(daemon_pb2.InfoRequest(), timeout=CALL_DEADLINE).last_event

    def pause(self, name="default"):
        self.instances.Pause(instances_pb2.PauseRequest(instance=self.ref(name)), timeout=CALL_DEADLINE)

    def resume(self, name="default"):
        self.instances.Resume(instances_pb2.ResumeRequest(instance=self.ref(name)), timeout=CALL_DEADLINE)

    def assert_contiguous(self, events, first=1):
        self.assertEqual([event.seq for event in events], list(range(first, first + len(events))))
        self.assertEqual([event.gone for event in events], [0] * len(events))
        times = [event.time_ns for event in events]
        self.assertGreater(times[0], 0)

    def states(self, events):
        return without_doubles([event.state for event in events if event.kind == STATE])


class Order(Events):
    def test_life(self):
        self.start("hello.elf")
        self.pause()
        self.resume()
        self.stop()
        events = self.events()
        self.assert_contiguous(events)
        self.assertEqual(events[-1].seq, self.last())
        self.assertEqual(events[0].kind, DAEMON)
        self.assertIn(f"process {self.daemon.pid}", events[0].reason)
        self.assertEqual(self.states(events), [STARTING, RUNNING, PAUSED, RUNNING, STOPPING, ENDED])
        stopping = next(event for event in events if event.kind == STATE and event.state == STOPPING)
        self.assertIn(f"process {os.getpid()}", stopping.reason)
        self.assertEqual((stopping.instance, stopping.instance_id, stopping.boot), ("default", self.get().id, 1))
        self.assertFalse(any(event.HasField("snapshot") for event in events))

    def test_numbers_go_on(self):
        """Over ends and crashes of the daemon, at any moment."""
        self.start("hello.elf")
        for number in range(4):
            self.pause()
            self.resume()
            if number % 2:
                self.restart_daemon()
            else:
                self.daemon.terminate()
                self.daemon.wait()
                self.daemon.close_channels()
                self.start_daemon()
        self.stop()
        events = self.events()
        self.assert_contiguous(events)
        self.assertEqual(self.states(events), [STARTING, RUNNING] + [PAUSED, RUNNING] * 4 + [STOPPING, ENDED])
        begun = [event for event in events if event.kind == DAEMON and event.reason.endswith("begins")]
        self.assertEqual(len(begun), 5)
        ends = [event for event in events if event.kind == DAEMON and "ends" in event.reason]
        self.assertEqual(len(ends), 2)

    def test_resumable(self):
        """From any number on it is the same."""
        self.start("hello.elf")
        self.pause()
        self.stop()
        everything = self.events()
        for first in range(1, len(everything) + 1):
            self.assertEqual(self.events(from_seq=first), everything[first - 1 :])
        self.assertEqual(self.events(from_seq=len(everything) + 1), [])
        self.assert_fails(Code.OUT_OF_RANGE, "", self.events, from_seq=len(everything) + 2, text=f"the newest is {len(everything)}")
        self.assertEqual(list(self.watch(no_follow=True)), [])

    def test_one_instance(self):
        """Only its events; the end of the stream is its end."""
        self.start("hello.elf", "a")
        self.start("hello.elf", "b")
        self.stop("a")
        for follow in (False, True):
            events = list(self.watch("a", from_seq=1, no_follow=not follow))
            self.assertEqual({event.instance for event in events}, {"a"})
            self.assertEqual(self.states(events), [STARTING, RUNNING, STOPPING, ENDED])
            numbers = [event.seq for event in events]
            self.assertEqual(numbers, sorted(numbers))

    def test_two_watchers(self):
        seen = [[], []]
        calls = [self.watch(from_seq=1), self.watch(from_seq=1)]

        def collect(number):
            try:
                for event in calls[number]:
                    seen[number].append(event)
            except grpc.RpcError:
                pass

        threads = [threading.Thread(target=collect, args=(number,), daemon=True) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for name in ("a", "b"):
            self.start("hello.elf", name)
            self.pause(name)
            self.stop(name)
        last = self.last()
        wait_for(lambda: all(rows and rows[-1].seq == last for rows in seen), "both to see the last event")
        for call in calls:
            call.cancel()
        for thread in threads:
            thread.join(CALL_DEADLINE)
        self.assertEqual(seen[0], seen[1])
        self.assert_contiguous(seen[0])

    def test_what_is_not_valid(self):
        self.assert_fails(Code.INVALID_ARGUMENT, "", self.watch, snapshots=True, text="need `instance`")
        self.assert_fails(Code.NOT_FOUND, "no-instance", self.watch, "nobody")


class Kinds(Events):
    def about(self, channel, events):
        return [(event.kind, event.actor) for event in events if event.channel == channel and event.kind in (ATTACH, DETACH, WRITER)]

    def test_attach_and_writer(self):
        self.start("echo.elf")
        me = f"(process {os.getpid()})"
        first = Attachment(self, write=True)
        second = Attachment(self, write=True)
        first.close()
        wait_for(lambda: second.writer_changes, "the role to come")
        second.close()
        wait_for(lambda: len(self.about("serial0", self.events("default"))) == 7, "both to have left")
        rows = self.about("serial0", self.events("default"))
        self.assertEqual([kind for kind, _ in rows], [ATTACH, WRITER, ATTACH, DETACH, WRITER, DETACH, WRITER])
        self.assertEqual(rows[-1][1], "", "the role is free")
        for _, actor in rows[:-1]:
            self.assertIn(me, actor)

    def test_reading_is_no_attaching(self):
        self.start("hello.elf")
        self.read_until(b"hello")
        self.assertEqual(self.about("serial0", self.events()), [])

    def test_removed(self):
        self.start("hello.elf")
        instance = self.stop()
        self.instances.Remove(instances_pb2.RemoveRequest(instance=self.ref()), timeout=CALL_DEADLINE)
        last = self.events()[-1]
        self.assertEqual((last.kind, last.instance_id, last.instance), (REMOVED, instance.id, "default"))

    def test_full_disk_of_a_channel(self):
        self.start("seq.elf")
        limit_files(self.daemon.pid, 100000)
        wait_for(lambda: self.offset() == 100000, "the log to be full")
        find = lambda: [event for event in self.events("default") if event.kind == WARNING and event.channel == "serial0"]  # noqa: E731
        wait_for(find, "the warning")
        limit_files(self.daemon.pid, None)
        wait_for(lambda: len(find()) >= 2, "that it is over")
        self.stop()

    def test_full_disk_of_the_journal(self):
        """They go on in memory, are seen by all, and are on disk when there is room again."""
        self.start("hello.elf")
        limit_files(self.daemon.pid, os.path.getsize(os.path.join(self.daemon.state_dir, "events.log")))
        for _ in range(20):
            self.pause()
            self.resume()
        self.assertTrue(any("in memory only" in event.reason for event in self.events()))
        limit_files(self.daemon.pid, None)
        self.pause()
        self.resume()
        before = self.events()
        self.assert_contiguous(before)
        self.restart_daemon()
        self.assertEqual(self.events()[: len(before)], before)
        self.assertEqual(self.states(before), [STARTING] + [RUNNING, PAUSED] * 21 + [RUNNING])

    def test_broken_record(self):
        instance = self.start("hello.elf")
        self.stop()
        self.daemon.kill()
        with open(record_path(self, instance), "r+b") as file:
            file.truncate(40)
        self.start_daemon()
        warnings = [event.reason for event in self.events() if event.kind == WARNING]
        self.assertTrue(any(instance.id in reason and "set aside" in reason for reason in warnings), warnings)

    def test_broken_journal(self):
        self.start("hello.elf")
        before = self.last()
        self.daemon.kill()
        with open(os.path.join(self.daemon.state_dir, "events.log"), "wb") as file:
            file.write(b"\0" * 5000)
        self.start_daemon()
        events = self.events()
        self.assertEqual(events[0].gone, before, "what was asked for and is gone")
        self.assertEqual(events[0].seq, before + 1)
        self.assertTrue(any("events.log.bad" in event.reason for event in events))
        self.assertEqual(self.get().state, RUNNING)


class Snapshots(Events):
    def test_first_and_with_every_event(self):
        self.start("hello.elf")
        old = self.last()
        call = self.watch("default", snapshots=True, from_seq=1)
        first = next(call)
        self.assertEqual((first.kind, first.seq), (instances_pb2.EVENT_KIND_SNAPSHOT, 0))
        self.assertEqual(first.snapshot.state, RUNNING)
        self.stop()
        events = list(call)
        self.assertEqual([event.HasField("snapshot") for event in events], [event.seq > old for event in events])
        self.assertEqual((events[-1].state, events[-1].snapshot.state), (ENDED, ENDED))

    def test_an_end_is_not_missed(self):
        """By a client that did not read, though the instance was started again meanwhile."""
        self.start("hello.elf")
        stub = instances_pb2_grpc.InstancesStub(self.daemon.channel(("grpc.http2.bdp_probe", 0)))
        call = stub.Watch(instances_pb2.WatchRequest(instance=self.ref(), snapshots=True), timeout=CALL_DEADLINE)
        next(call)
        for _ in range(300):
            self.pause()
            self.resume()
        self.stop()
        self.start("hello.elf")
        events = list(call)
        self.assertEqual((events[-1].kind, events[-1].state, events[-1].snapshot.state), (STATE, ENDED, ENDED))
        self.assertEqual(events[-1].snapshot.boot, 1)
        self.assertEqual(self.states(events), [PAUSED, RUNNING] * 300 + [STOPPING, ENDED])
        self.assertEqual(self.get().state, RUNNING)

    def test_goes_on_after_a_crash(self):
        """With the number after the last one that was seen nothing is missed, nothing comes twice."""
        self.start("hello.elf")
        self.pause()
        seen = self.events("default")
        self.restart_daemon()
        self.resume()
        self.stop()
        call = self.watch("default", snapshots=True, from_seq=seen[-1].seq + 1)
        self.assertEqual(next(call).snapshot.state, ENDED)
        seen += list(call)
        self.assertEqual(self.states(seen), [STARTING, RUNNING, PAUSED, RUNNING, STOPPING, ENDED])
        self.assertEqual(len({event.seq for event in seen}), len(seen))

    def test_removed_while_watched(self):
        self.start("hello.elf")
        call = self.watch("default", snapshots=True)
        next(call)
        everything = self.watch()
        self.last()  # it is there
        self.instances.Remove(instances_pb2.RemoveRequest(instance=self.ref(), force=True), timeout=CALL_DEADLINE)
        self.assertEqual(list(call)[-1].snapshot.state, ENDED)
        self.assertEqual(call.code(), Code.OK)
        for event in everything:
            if event.kind == REMOVED:
                break
        everything.cancel()


if __name__ == "__main__":
    unittest.main()
