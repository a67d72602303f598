# SPDX-License-Identifier: Apache-2.0
"""Every preset for QEMU against the real emulator: its memory, its serial ports and its core are what QEMU has."""

import json
import pathlib
import re
import subprocess
import unittest

TARGETS = pathlib.Path(__file__).resolve().parents[2] / 'config' / 'targets'
PORTS = 16
ANSWER_S = 60
UNITS = {'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}


def number(text):
    """A size or an address as the presets write it."""
    unit = UNITS.get(text[-1].upper(), 1)
    return int(text[:-1] if unit > 1 else text, 0) * unit


class Qemu:
    """A machine that never runs, and its answers over QMP."""

    def __init__(self, qemu):
        # As the daemon starts it.
        sandbox = ['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny']
        argv = [qemu['executable'], *sandbox, '-nographic', '-nodefaults', '-display', 'none', '-machine', qemu['machine'], '-S',
                '-monitor', 'none', '-qmp', 'stdio'] + qemu.get('args', [])
        argv += ['-serial', 'null'] * PORTS
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if not self.process.stdout.readline():
            raise AssertionError(f'{argv}: {self.process.communicate()[1]}')
        self.ask('qmp_capabilities')

    def ask(self, command, **arguments):
        self.process.stdin.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        self.process.stdin.flush()
        for line in self.process.stdout:
            answer = json.loads(line)
            if 'return' in answer or 'error' in answer:
                return answer.get('return')
        raise AssertionError(f'{command}: the emulator is gone')

    def close(self):
        self.ask('quit')
        self.process.communicate(timeout=ANSWER_S)

    def serials(self):
        """Ids of the ports that the board has devices for."""
        return {c['label'] for c in self.ask('query-chardev') if c['label'].startswith('serial') and c['frontend-open']}

    def cores(self):
        paths = [cpu['qom-path'] for cpu in self.ask('query-cpus-fast')]
        return paths, [self.ask('qom-get', path=path, property='type') for path in paths]

    def memory(self):
        """[first, last] of all that the first core sees as memory, touching ones joined. Behind a TrustZone memory protection
        controller ("tz-mpc-upstream") there is always memory."""
        tree = self.ask('human-monitor-command', **{'command-line': 'info mtree -f'})
        views = tree.split('FlatView #')[1:]
        mine = [v for v in views if re.search(r'AS "(cpu-secure-memory-0|cpu-memory-0)"', v.split('Root memory')[0])]
        secure = [v for v in mine if '"cpu-secure-memory-0"' in v.split('Root memory')[0]]
        found = []
        for view in secure or mine:
            for first, last, kind, name in re.findall(r'^ +([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, ([a-z/]+)\): (.*)$', view, re.M):
                if kind in ('ram', 'rom', 'romd') or name.startswith('tz-mpc-upstream'):
                    found.append([int(first, 16), int(last, 16)])
        joined = []
        for first, last in sorted(found):
            if joined and first <= joined[-1][1] + 1:
                joined[-1][1] = max(joined[-1][1], last)
            else:
                joined.append([first, last])
        return joined


class PresetTest(unittest.TestCase):
    maxDiff = None

    def check(self, target):
        qemu = Qemu(target['qemu'])
        self.addCleanup(qemu.process.wait)
        self.addCleanup(qemu.process.kill)
        self.addCleanup(qemu.process.stdin.close)
        self.addCleanup(qemu.process.stdout.close)
        self.addCleanup(qemu.process.stderr.close)

        ids = {c['id'] for c in target['qemu']['channels']['chardevs'].values()}
        self.assertEqual(ids, qemu.serials())

        paths, types = qemu.cores()
        self.assertTrue(any(t.startswith(target['cpu'] + '-') for t in types), f'{target["cpu"]} is none of {types}')

        there = qemu.memory()
        for row in target['memory']:
            first, size = number(row['base']), number(row['size'])
            self.assertTrue(any(a <= first and first + size - 1 <= b for a, b in there),
                            f'{row} is not in {[(hex(a), hex(b)) for a, b in there]}')

        boot = [number(row['base']) for row in target['memory'] if row.get('boot')]
        self.assertEqual(len(boot), 1)
        if target['cpu'].startswith('cortex-m'):
            vectors = qemu.ask('qom-get', path=paths[0], property='init-svtor') or 0
            alias = vectors == 0 and any(number(row['base']) == 0 for row in target['memory'])
            self.assertTrue(boot[0] == vectors or alias, f'boots from {vectors:#x}')
        qemu.close()

    def complete(self, target):
        """Nothing of the board's memory is missing, small scraps and boot ROMs apart."""
        qemu = Qemu(target['qemu'])
        try:
            rows = [(number(row['base']), number(row['base']) + number(row['size']) - 1) for row in target['memory']]
            for first, last in qemu.memory():
                covered = first
                for a, b in sorted(rows):
                    if a <= covered <= b:
                        covered = b + 1
                self.assertGreater(covered, last, f'{first:#x}-{last:#x} is in no range')
        finally:
            qemu.close()
            for stream in (qemu.process.stdin, qemu.process.stdout, qemu.process.stderr):
                stream.close()


def add_tests():
    for path in sorted(TARGETS.glob('qemu-*.json')):
        for name, target in json.loads(path.read_text())['targets'].items():
            word = re.sub(r'\W', '_', name)
            setattr(PresetTest, f'test_{word}', lambda self, target=target: self.check(target))
            # Raspberry Pi RAM lies under its devices; the RISC-V reset ROM is no place for an image.
            if target['qemu']['executable'] == 'qemu-system-arm' and 'raspi' not in name:
                setattr(PresetTest, f'test_{word}_complete', lambda self, target=target: self.complete(target))


add_tests()

if __name__ == '__main__':
    unittest.main()
