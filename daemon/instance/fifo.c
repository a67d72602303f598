/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/fifo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/driver.h"

int fifo_make(int run_dir, const char *file, const struct user *owner, struct err *err)
{
	int rc = mkfifoat(run_dir, file, 0600);
	if (rc < 0 && errno == EEXIST) /* that of the boot before */
		rc = unlinkat(run_dir, file, 0) < 0 ? -1 : mkfifoat(run_dir, file, 0600);
	if (rc < 0)
		return err_sys(err, errno, "make FIFO \"%s\"", file);
	if (owner != NULL && fchownat(run_dir, file, owner->uid, owner->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, errno, "give FIFO \"%s\" to uid %u", file, (unsigned)owner->uid);
	return 0;
}

int fifo_open(int run_dir, const char *file, int *fd, struct err *err)
{
	int fifo = openat(run_dir, file, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fifo < 0)
		return err_sys(err, errno, "open FIFO \"%s\"", file);
	*fd = fifo;
	return 0;
}

static int fifo_open_end(int run_dir, const char *channel, const char *suffix, int *fd, struct err *err)
{
	char file[PLAN_NAME_MAX + 8];
	snprintf(file, sizeof(file), "%s%s", channel, suffix);
	return fifo_open(run_dir, file, fd, err);
}

int fifo_open_ends(int run_dir, const char *channel, bool has_input, struct fifo_ends *ends, struct err *err)
{
	*ends = (struct fifo_ends)FIFO_ENDS_NONE;
	if (fifo_open_end(run_dir, channel, ".out", &ends->out, err) == 0 &&
	    (!has_input || fifo_open_end(run_dir, channel, ".in", &ends->in, err) == 0))
		return 0;
	fifo_close_ends(ends);
	return -1;
}

void fifo_close_ends(struct fifo_ends *ends)
{
	if (ends->out >= 0)
		close(ends->out);
	if (ends->in >= 0)
		close(ends->in);
	*ends = (struct fifo_ends)FIFO_ENDS_NONE;
}
