/* SPDX-License-Identifier: Apache-2.0 */
#include "client/atomic.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/mem.h"

#define TRIES 100

/* A link is followed, so that the file it stands for is replaced and not the link. */
static char *real_path(const char *path)
{
	char *real = realpath(path, NULL);
	return real != NULL ? real : xstrdup(path);
}

static int open_temp(struct atomic *atomic, struct err *err)
{
	const char *slash = strrchr(atomic->path, '/'), *name = slash != NULL ? slash + 1 : atomic->path;
	for (int i = 0; i < TRIES; i++) {
		free(atomic->temp);
		atomic->temp = xasprintf("%.*s.%.200s.%d-%d.tmp", (int)(name - atomic->path), atomic->path, name, (int)getpid(), i);
		int fd = open(atomic->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
		if (fd >= 0) {
			atomic->file = fdopen(fd, "w");
			return 0;
		}
		if (errno != EEXIST)
			break;
	}
	return err_sys(err, errno, "write \"%s\"", atomic->path);
}

static int open_at_place(struct atomic *atomic, struct err *err)
{
	atomic->file = fopen(atomic->path, "we");
	return atomic->file != NULL ? 0 : err_sys(err, errno, "write \"%s\"", atomic->path);
}

static void forget(struct atomic *atomic)
{
	free(atomic->path);
	free(atomic->temp);
	*atomic = (struct atomic){ .path = NULL };
}

int atomic_open(struct atomic *atomic, const char *path, struct err *err)
{
	struct stat st;
	bool is_there = stat(path, &st) == 0, is_at_place = is_there && !S_ISREG(st.st_mode);
	int rc = 0;
	*atomic = (struct atomic){ .path = is_at_place ? xstrdup(path) : real_path(path) };
	if (path[0] == '\0')
		rc = err_set(err, ERR_INVALID_ARGUMENT, "write \"\": a file without a name");
	else if (is_there && S_ISDIR(st.st_mode))
		rc = err_sys(err, EISDIR, "write \"%s\"", path);
	else
		rc = is_at_place ? open_at_place(atomic, err) : open_temp(atomic, err);
	if (rc < 0)
		forget(atomic);
	return rc;
}

int atomic_commit(struct atomic *atomic, struct err *err)
{
	int rc = 0;
	bool failed = ferror(atomic->file) != 0;
	errno = 0;
	if (fclose(atomic->file) != 0 || failed)
		rc = err_sys(err, errno != 0 ? errno : EIO, "write \"%s\"", atomic->path);
	else if (atomic->temp != NULL && rename(atomic->temp, atomic->path) < 0)
		rc = err_sys(err, errno, "write \"%s\"", atomic->path);
	if (rc < 0 && atomic->temp != NULL)
		unlink(atomic->temp);
	forget(atomic);
	return rc;
}

void atomic_abort(struct atomic *atomic)
{
	if (atomic->path == NULL)
		return;
	fclose(atomic->file);
	if (atomic->temp != NULL)
		unlink(atomic->temp);
	forget(atomic);
}

/* What is no regular file is not opened before its time: its reader would see an end. */
int atomic_prepare(const char *path, struct err *err)
{
	struct atomic probe;
	struct stat st;
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return access(path, W_OK) == 0 ? 0 : err_sys(err, errno, "write \"%s\"", path);
	if (atomic_open(&probe, path, err) < 0)
		return -1;
	int rc = unlink(probe.path) < 0 && errno != ENOENT ? err_sys(err, errno, "replace \"%s\"", path) : 0;
	atomic_abort(&probe);
	return rc;
}
