/* SPDX-License-Identifier: Apache-2.0 */
/*
 * splice(2) takes a byte out of the pipe only after it is in the file, within one system call that a SIGKILL cannot cut in two.
 * The offset is explicit and the file not O_APPEND, which splice refuses.
 *
 * The hole at the head of the file is a second witness of what is gone, besides the index: after a power cut, which may keep the hole and
 * lose the index, it alone prevents zeros from being taken for output.
 */
#include "channel/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel/file.h"
#include "wire/mem.h"

#define LOG_BLOCK_MIN 4096
#define LOG_BLOCK_MAX 65536 /* network file systems name a size for transfers */

void log_init(struct log *log)
{
	memset(log, 0, sizeof(*log));
	log->fd = -1;
}

static uint64_t log_block(int fd)
{
	struct stat st;
	uint64_t block = fstat(fd, &st) == 0 && st.st_blksize > 0 ? (uint64_t)st.st_blksize : LOG_BLOCK_MIN;
	if ((block & (block - 1)) != 0 || block < LOG_BLOCK_MIN)
		return LOG_BLOCK_MIN;
	return block < LOG_BLOCK_MAX ? block : LOG_BLOCK_MAX;
}

/* A file system that knows no holes says 0. */
static uint64_t log_hole_end(const struct log *log)
{
	off_t data = lseek(log->fd, 0, SEEK_DATA);
	if (data < 0)
		return errno == ENXIO ? log->end : 0;
	return (uint64_t)data < log->end ? (uint64_t)data : log->end;
}

int log_open(struct log *log, int dir, const char *file, struct err *err)
{
	log->fd = file_open(dir, file, &log->end, err);
	if (log->fd < 0)
		return -1;
	log->file = xstrdup(file);
	log->block = log_block(log->fd);
	log->first = log_hole_end(log);
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

uint64_t log_floor(const struct log *log, uint64_t offset)
{
	return offset & ~(log->block - 1);
}

int log_can_punch(const struct log *log)
{
	uint64_t beyond = log_floor(log, log->end) + log->block;
	return file_punch(log->fd, beyond, beyond + log->block);
}

int log_punch(struct log *log, uint64_t first)
{
	uint64_t to = log_floor(log, first);
	log->first = first;
	return to > 0 ? file_punch(log->fd, 0, to) : 0; /* from 0: an earlier one may have failed */
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
