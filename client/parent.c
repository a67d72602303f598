/* SPDX-License-Identifier: Apache-2.0 */
#include "client/parent.h"

#include <sys/pidfd.h>
#include <unistd.h>

/* The number could be another process's by the time it is opened: it is our parent's only if it still is one afterwards. */
void parent_open(struct parent *parent)
{
	*parent = (struct parent){ .pid = getppid(), .fd = -1 };
	if (parent->pid <= 1) {
		parent->pid = 0;
		return;
	}
	parent->fd = pidfd_open(parent->pid, 0);
	parent->is_dead = getppid() != parent->pid;
}

void parent_close(struct parent *parent)
{
	if (parent->fd >= 0)
		close(parent->fd);
	parent->fd = -1;
}
