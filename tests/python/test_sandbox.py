# SPDX-License-Identifier: Apache-2.0
"""What an emulator may do: its rights as the kernel has them, its network, and what a firmware can have the host do."""

import glob
import json
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from pwemu_fixture import BOARD, CALL_DEADLINE, Case, firmware, grpc, read_proc, targets_pb2  # noqa: E402
from pwemu_cli import CliCase  # noqa: E402

Code = grpc.StatusCode

NOBODY = 65534
OF_FILES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
PRESETS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../config/targets/qemu-*.json")


def can(*words):
    return subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


needs_namespaces = unittest.skipUnless(can("unshare", "-Urn", "true"), "optional: namespaces: this host does not allow unshare -Urn")


def rights(pid):
    """Of a process, by the names of /proc/PID/status."""
    rows = dict(line.split(":", 1) for line in read_proc(pid, "status").decode().splitlines())
    return {name: value.strip() for name, value in rows.items()}


def limit(pid, name):
    """(soft, hard)"""
    return re.search(rf"^{name} +(\S+) +(\S+)", read_proc(pid, "limits").decode(), re.M).groups()


def network_of(pid):
    return os.readlink(f"/proc/{pid}/ns/net")


class SandboxCase(Case):
    def target(self, *args, **fields):
        """The default board with further arguments of the emulator's."""
        target = self.targets.Get(targets_pb2.GetTargetRequest(name=BOARD), timeout=CALL_DEADLINE)
        target.qemu.args.extend(args)
        for name, value in fields.items():
            setattr(target, name, value)
        return target

    def boot(self, *args, image="hello.elf", name="", **fields):
        return self.start(image, name, target_config=self.target(*args, **fields))

    def assert_confined(self, pid, is_sandboxed=True):
        row = rights(pid)
        self.assertEqual((row["NoNewPrivs"], row["Seccomp"]), ("1", "2" if is_sandboxed else "0"))
        for name in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            value = int(row[name], 16)
            self.assertEqual(value & ~(OF_FILES if name in ("CapEff", "CapPrm") and row["Uid"].split()[1] == "0" else 0), 0, (name, row[name]))
        self.assertEqual(limit(pid, "Max core file size"), ("0", "0"))
        self.assertEqual(limit(pid, "Max open files"), ("256", "256"))
        self.assertLess(len(os.listdir(f"/proc/{pid}/fd")), 40)


class Rights(SandboxCase):
    def test_by_default(self):
        instance = self.boot()
        self.assert_confined(instance.pid)
        self.assertEqual(instance.sandbox, "on")
        self.assertRegex(self.pwemu("status"), r"(?m)^sandbox: +on$")
        self.assertEqual(json.loads(self.pwemu("status", "-o", "json"))["sandbox"], "on")
        self.restart_daemon()
        self.assertEqual(self.get().sandbox, "on")

    def test_restarted(self):
        instance = self.boot()
        os.kill(instance.pid, 9)
        self.wait_until_over()
        self.pwemu("restart")
        self.assert_confined(self.get().pid)

    def test_off(self):
        instance = self.boot(sandbox="off")
        row = rights(instance.pid)
        self.assertEqual((row["NoNewPrivs"], row["Seccomp"]), ("1", "0"))
        self.assertEqual(row["CapEff"], rights(self.daemon.pid)["CapEff"])
        self.assertEqual(limit(instance.pid, "Max core file size"), ("0", "0"))
        self.assertGreater(int(limit(instance.pid, "Max open files")[0]), 256)
        self.assertEqual(instance.sandbox, "off")
        self.assertNotIn("-sandbox", instance.argv)

    def test_bad_word(self):
        self.assert_fails(Code.INVALID_ARGUMENT, "invalid-target", self.boot, sandbox="maybe", text='sandbox "maybe" is unknown')

    def test_helpers_are_free(self):
        """A program that is started beside the emulator is the user's own."""
        target = self.target()
        target.pre_start.append(targets_pb2.HelperCommand(name="own", argv=["sleep", "1000"]))
        instance = self.start("hello.elf", target_config=target)
        pid = next(row.pid for row in instance.processes if row.name == "own")
        row = rights(pid)
        self.assertEqual((row["Seccomp"], row["CapEff"]), ("0", rights(self.daemon.pid)["CapEff"]))
        self.assertEqual(network_of(pid), network_of("self"))

    def test_every_preset(self):
        """Each begins, with the sandbox, without semihosting, in a network of its own where there is one."""
        for path in sorted(glob.glob(PRESETS)):
            with open(path, encoding="utf-8") as file:
                names = list(json.load(file)["targets"])
            for name in names:
                with self.subTest(name):
                    instance = self.start(None, board=name, pause=True)
                    self.assertEqual(rights(instance.pid)["Seccomp"], "2")
                    self.assertFalse([word for word in instance.argv if "semihosting" in word])
                    self.assertFalse(instance.semihosting)
                    self.stop()


class OfNobody(CliCase):
    def test_no_capability(self):
        """Nor in a namespace of his own."""
        if os.geteuid() != 0:
            self.skipTest("optional: root: Rights is that already")
        for top, names, _ in os.walk(self.dir):
            for path in (top, *(os.path.join(top, name) for name in names)):
                os.chown(path, NOBODY, NOBODY)
        nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
        if not can(*nobody, "sh", "-c", 'test -x "$0"', firmware("hello.elf")) and not can(*nobody, "test", "-r", firmware("hello.elf")):
            self.skipTest("optional: directory: nobody may not come here")
        run = lambda *words: subprocess.run([*nobody, *words], env=self.environment, cwd=self.work, capture_output=True, check=False,  # noqa: E731
                                            timeout=CALL_DEADLINE, text=True)
        self.addCleanup(run, "pwemu", "daemon", "stop", "--with-instances")
        done = run("pwemu", "start", BOARD, "-f", firmware("hello.elf"))
        self.assertEqual(done.returncode, 0, done.stderr)
        pid = json.loads(run("pwemu", "status", "-o", "json").stdout)["pid"]
        row = rights(pid)
        self.assertEqual(row["Uid"].split(), [str(NOBODY)] * 4)
        self.assertEqual([int(row[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")], [0, 0, 0, 0])
        self.assertEqual((row["NoNewPrivs"], row["Seccomp"]), ("1", "2"))


class Network(SandboxCase):
    def network(self, *args, isolate=""):
        instance = self.boot(*args, isolate=isolate)
        is_own = network_of(instance.pid) != network_of(self.daemon.pid)
        self.assertEqual(instance.private_network, is_own)
        self.stop()
        return "own" if is_own else "host"

    @needs_namespaces
    def test_auto(self):
        socket = os.path.join(self.dir, "socket")
        for wanted, args in (("own", ()), ("host", ("-nic", "user")), ("own", ("-nic", "none")), ("host", ("-net", "nic", "-net", "user")),
                             ("host", ("-netdev", "user,id=n0")), ("host", ("-chardev", "socket,id=c0,host=127.0.0.1,port=0,server=on,wait=off")),
                             ("host", ("-chardev", f"socket,id=c0,path={socket},server=on,wait=off")),
                             ("own", ("-chardev", "null,id=c0")), ("host", ("-vnc", "127.0.0.1:0,to=99"))):
            with self.subTest(args):
                self.assertEqual(self.network(*args), wanted)

    @needs_namespaces
    def test_words(self):
        """The first start of a daemon looks whether the host allows it, later ones rely on that."""
        for isolate, wanted in (("auto", "own"), ("off", "host"), ("required", "own"), ("auto", "own"), ("", "own")):
            with self.subTest(isolate):
                self.assertEqual(self.network(isolate=isolate), wanted)

    @needs_namespaces
    def test_shared(self):
        """Those that need none have one together, across a daemon's death a new one; who insists has his own."""
        networks = [network_of(self.boot(name=name).pid) for name in ("a", "b")]
        self.assertEqual(networks[0], networks[1])
        self.stop("a")
        self.assertEqual(network_of(self.boot(name="c").pid), networks[0])
        self.assertNotEqual(network_of(self.boot(name="d", isolate="required").pid), networks[0])
        self.daemon.kill()
        self.start_daemon()
        again = [network_of(self.boot(name=name).pid) for name in ("e", "f")]
        self.assertEqual(again[0], again[1])
        self.assertNotIn(network_of(self.daemon.pid), networks + again)

    @needs_namespaces
    def test_user_arguments(self):
        instance = self.start("hello.elf", args=["-monitor", "tcp:127.0.0.1:0,server=on,wait=off"])
        self.assertFalse(instance.private_network)
        self.assertEqual(network_of(instance.pid), network_of(self.daemon.pid))

    def test_host_that_allows_none_any_more(self):
        """A start goes on in the host's network then, also of a daemon that has seen one with its own."""
        command = ("unshare", "-Ur", "sh", "-c", 'exec "$@"', "sh")
        limit_file = "/proc/sys/user/max_net_namespaces"
        if not can(*command, "sh", "-c", f"echo 0 >{limit_file}"):
            self.skipTest("optional: namespaces: this host has no limit of them for a user namespace")
        self.daemon.kill()
        self.start_daemon(command=command)
        self.assertEqual(self.boot().private_network, True)
        enter = ("nsenter", "-t", str(self.daemon.pid), "-U", "--preserve-credentials")
        subprocess.run([*enter, "sh", "-c", f"echo 0 >{limit_file}"], check=True)
        self.assertEqual(self.boot(name="shares").private_network, True)
        self.assert_fails(Code.FAILED_PRECONDITION, "emulator-refused", self.boot, isolate="required", name="own", text='its own network ("isolate")')
        self.assertEqual(self.boot(name="shares-not-any-more").private_network, False)
        self.stop("shares")


class SystemCase(CliCase):
    """system.elf has the host run the last word of its command line."""

    def run_system(self, board, *words, config=None):
        """(exit code, result, whether the host did it)"""
        name, result, done = board, os.path.join(self.dir, "result"), os.path.join(self.dir, "done")
        if config is not None:
            name = "own"
            with open(os.path.join(self.work, "pwemu.json"), "w", encoding="ascii") as file:
                json.dump({"targets": {name: dict(config, base=board)}}, file)
        for path in (result, done):
            if os.path.exists(path):
                os.unlink(path)
        image = firmware("system.elf", board.removeprefix("qemu-"))
        ended = self.run_any("run", "--result", result, "--timeout", "30s", *words, name, image, "--", f">{done}")
        with open(result, encoding="utf-8") as file:
            return ended, file.read(), os.path.exists(done)

    def test_denied(self):
        for board in ("qemu-lm3s6965evb", "qemu-mps2-an385", "qemu-riscv32-virt", "qemu-riscv64-virt"):
            with self.subTest(board):
                ended, result, is_done = self.run_system(board)
                self.assertEqual(ended.returncode, 128 + 31, ended.err)
                self.assertFalse(is_done)
                self.assertIn("guest-fault", result)
                self.assertIn("semihosting SYS_SYSTEM denied", ended.err)
                self.assertIn('"sandbox": "off"', ended.err)
                self.assertIn("system on", ended.out)
                self.assertNotIn("the host did it", ended.out)

    def test_trusted(self):
        ended, result, is_done = self.run_system("qemu-lm3s6965evb", config={"sandbox": "off"})
        self.assertEqual(ended.returncode, 0, ended.err)
        self.assertIn("passed", result)
        self.assertTrue(is_done)
        self.assertIn("the host did it", ended.out)

    def test_no_restart(self):
        """The firmware would ask again."""
        # It may have ended before the start is answered, which then says so.
        self.run_any("-q", "start", BOARD, "-f", firmware("system.elf"), "--semihosting", "--restart", "on-failure,delay=10ms")
        self.pwemu("-q", "wait", "--exit", "--timeout", "60s")
        done = json.loads(self.run_any("status", "-o", "json").out)
        self.assertEqual((done["state"], done["boot"], done["end"]["cause"]), ("ended", 1, "guest-fault"))


class Arguments(SandboxCase):
    """That start processes."""

    def test_denied(self):
        error = self.assert_fails(Code.FAILED_PRECONDITION, "emulator-refused", self.boot, "-incoming", "exec:cat /dev/null; sleep 1000")
        self.assertIn('"exec:cat /dev/null; sleep 1000" wants; "sandbox": "off" in the target allows it', error.details())
        self.assert_nothing_runs()

    def test_allowed(self):
        instance = self.start(None, target_config=self.target("-incoming", "exec:sleep 1000", sandbox="off"), no_wait=True)
        self.assertNotEqual(instance.pid, 0)
        self.stop()
        self.assert_nothing_runs()


class WithoutSeccomp(SandboxCase):
    """A QEMU that was built without it refuses the option."""

    SOURCE = """
        #include <stdio.h>
        #include <string.h>
        #include <unistd.h>
        int main(int argc, char **argv)
        {
            for (int i = 1; i < argc; i++)
                if (strcmp(argv[i], "-sandbox") == 0)
                    return fprintf(stderr, "qemu-system-arm: -sandbox: -sandbox support is not enabled in this QEMU binary\\n"), 1;
            execv("%s", argv);
            return 127;
        }"""

    def build(self, *libraries):
        qemu = subprocess.run(["sh", "-c", "command -v qemu-system-arm"], capture_output=True, check=True, text=True).stdout.strip()
        listed = subprocess.run(["ldd", qemu], capture_output=True, check=True, text=True).stdout
        paths = [re.search(rf"=> (\S*/{library}\S*)", listed).group(1) for library in libraries]
        program = os.path.join(self.dir, "qemu-system-arm")
        subprocess.run(["gcc", "-x", "c", "-", "-o", program, "-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", "-x", "none", *paths],
                       input=self.SOURCE % qemu, check=True, text=True)
        return program

    def boot_program(self, program):
        target = self.target()
        target.qemu.executable = program
        return self.start("hello.elf", target_config=target)

    def warnings(self):
        events = (json.loads(line) for line in self.pwemu("events", "-o", "json").splitlines())
        return [event["reason"] for event in events if event["kind"] == "warning"]

    def test_seen(self):
        instance = self.boot_program(self.build("libglib-2.0"))
        self.assertEqual(instance.sandbox, "none")
        self.assert_confined(instance.pid, is_sandboxed=False)
        self.assertEqual(len([text for text in self.warnings() if "built without seccomp" in text]), 1, self.warnings())
        self.read_until(b"hello")

    def test_not_seen(self):
        """It has the library, and refuses nevertheless: what to do is said."""
        error = self.assert_fails(Code.FAILED_PRECONDITION, "emulator-refused", self.boot_program, self.build("libglib-2.0", "libseccomp"))
        self.assertIn("support is not enabled", error.details())
        self.assertIn('"sandbox": "off" in the target starts it without', error.details())


if __name__ == "__main__":
    unittest.main()
