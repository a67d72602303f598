/* SPDX-License-Identifier: Apache-2.0 */
#include "channel/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_READ_TRIES 3

static int file_open_as(int access, int dir, const char *name, uint64_t *size, struct err *err)
{
	/* O_NONBLOCK: a FIFO somebody has put there must not hold us. */
	int fd = openat(dir, name, access | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, errno, "open \"%s\"", name);
	struct stat st;
	if (fstat(fd, &st) < 0) {
		err_sys(err, errno, "stat \"%s\"", name);
	} else if (!S_ISREG(st.st_mode)) {
		err_set(err, ERR_FAILED_PRECONDITION, "open \"%s\": not a regular file", name);
	} else {
		*size = (uint64_t)st.st_size;
		return fd;
	}
	close(fd);
	return -1;
}

int file_open(int dir, const char *name, uint64_t *size, struct err *err)
{
	return file_open_as(O_RDWR, dir, name, size, err);
}

int file_open_reader(int dir, const char *name, uint64_t *size, struct err *err)
{
	return file_open_as(O_RDONLY, dir, name, size, err);
}

ssize_t file_read(int fd, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;
	for (int failures = 0; done < len;) {
		ssize_t n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));
		/* memory may be short for a moment, a network file system away */
		if (n < 0 && (errno == EINTR || ++failures < FILE_READ_TRIES))
			continue;
		if (n < 0 && done == 0)
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t file_write(int fd, const void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = pwrite(fd, (const char *)buf + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && done == 0)
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int file_punch(int fd, uint64_t from, uint64_t to)
{
	int rc;
	do
		rc = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from));
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}
