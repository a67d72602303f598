/* SPDX-License-Identifier: Apache-2.0 */
/*
 * splice(2) takes a byte out of the pipe only after it is in the file, within one system call that a SIGKILL cannot cut in two.
 * The offset is explicit and the file not O_APPEND, which splice refuses.
 */
#include "channel/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel/file.h"
#include "wire/mem.h"

void log_init(struct log *log)
{
	memset(log, 0, sizeof(*log));
	log->fd = -1;
}

int log_open(struct log *log, int dir, const char *file, struct err *err)
{
	log->fd = file_open(dir, file, &log->end, err);
	if (log->fd < 0)
		return -1;
	log->file = xstrdup(file);
	return 0;
}

void log_fini(struct log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	free(log->file);
	log_init(log);
}

ssize_t log_splice(struct log *log, int pipe, size_t max)
{
	for (;;) {
		loff_t at = (loff_t)log->end;
		ssize_t n = splice(pipe, NULL, log->fd, &at, max, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
		if (n >= 0) {
			log->end += (uint64_t)n;
			return n;
		}
		if (errno == EAGAIN)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

ssize_t log_read(const struct log *log, uint64_t offset, void *buf, size_t len, struct err *err)
{
	ssize_t n = file_read(log->fd, buf, len, offset);
	if (n > 0)
		return n;
	if (n < 0)
		return err_sys(err, (int)-n, "read \"%s\" at offset %" PRIu64, log->file, offset);
	return err_set(err, ERR_DATA_LOSS, "read \"%s\" at offset %" PRIu64 ": somebody has truncated it, it had %" PRIu64 " bytes",
		       log->file, offset, log->end);
}
