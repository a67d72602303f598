# SPDX-License-Identifier: Apache-2.0
"""Reading from a socket or a terminal until something was seen."""

import os
import select


class Reader:
    """Reads from a descriptor until what it waits for is there. A hang-up is a failure."""

    def __init__(self, fd):
        self.fd = fd
        self.seen = b""

    def more(self, deadline=30):
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        events = poll.poll(deadline * 1000)
        assert events, f"nothing came; seen {self.seen[-100:]!r}"
        assert not events[0][1] & (select.POLLHUP | select.POLLERR), f"hang-up; seen {self.seen[-100:]!r}"
        data = os.read(self.fd, 65536)
        assert data, "end of file"
        self.seen += data

    def until(self, text):
        while text not in self.seen:
            self.more()
        return self.seen

    def count(self, text, wanted):
        while self.seen.count(text) < wanted:
            self.more()
