/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is being received has a name of its own until its digest was compared: two who send the same do not meet. Its announced size counts
 * as taken from the beginning, so that those that come at once do not pass the limit together. The time of the last use is the file's
 * modification time.
 */
#include "instance/uploads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/acl.h"
#include "base/dirs.h"
#include "base/log.h"
#include "config/settings.h"
#include "config/sha256.h"
#include "instance/instance.h"
#include "instance/registry.h"
#include "wire/mem.h"

#define UPLOADS_TMP   ".new-"
#define UPLOADS_MIB   (1024.0 * 1024.0)
#define UPLOADS_FILES 10000 /* of one user, however small */

struct upload {
	LIST_ENTRY(upload) link;
	struct uploads *uploads;
	uid_t uid;
	int fd;
	char *tmp, *path;
	char digest[SHA256_HEX];
	uint64_t size, received;
	struct sha256 sha;
};

struct uploads {
	struct uploads_config config;
	LIST_HEAD(, upload) open;
	unsigned last; /* number of the latest temporary file */
};

static char *uploads_dir(const char *state_dir, uid_t uid)
{
	return xasprintf("%s/images/%u", state_dir, (unsigned)uid);
}

char *uploads_path(const char *state_dir, uid_t uid, const char *digest)
{
	return xasprintf("%s/images/%u/%s", state_dir, (unsigned)uid, digest);
}

/* ---------------------------------------------------------------- the store */

/* Calls `each` for every file in a directory; what cannot be read is not there. */
static void uploads_walk(const char *path, void (*each)(void *ctx, int dir, const char *name), void *ctx)
{
	DIR *dir = opendir(path);
	for (struct dirent *entry = dir != NULL ? readdir(dir) : NULL; entry != NULL; entry = readdir(dir))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			each(ctx, dirfd(dir), entry->d_name);
	if (dir != NULL)
		closedir(dir);
}

static void uploads_clean_file(void *ctx, int dir, const char *name)
{
	(void)ctx;
	if (strncmp(name, UPLOADS_TMP, strlen(UPLOADS_TMP)) == 0)
		(void)unlinkat(dir, name, 0);
}

static void uploads_clean_user(void *ctx, int dir, const char *name)
{
	(void)dir;
	char *path = xasprintf("%s/%s", (const char *)ctx, name);
	uploads_walk(path, uploads_clean_file, NULL);
	free(path);
}

struct uploads *uploads_new(const struct uploads_config *config)
{
	struct uploads *uploads = xcalloc(1, sizeof(*uploads));
	uploads->config = *config;
	LIST_INIT(&uploads->open);
	char *path = xasprintf("%s/images", config->state_dir);
	uploads_walk(path, uploads_clean_user, path);
	free(path);
	return uploads;
}

void uploads_free(struct uploads *uploads)
{
	free(uploads);
}

bool uploads_has(struct uploads *uploads, uid_t uid, const char *digest, uint64_t size)
{
	struct stat st;
	char *path = uploads_path(uploads->config.state_dir, uid, digest);
	bool has = lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == size &&
		   utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) == 0;
	free(path);
	return has;
}

int uploads_check(const struct uploads *uploads, uint64_t size, struct err *err)
{
	const struct settings *settings = uploads->config.settings;
	if (size <= settings->upload_limit_bytes)
		return 0;
	err_set(err, ERR_RESOURCE_EXHAUSTED, "it has %.1f MiB, and the daemon takes images of at most %.1f MiB (its setting upload-limit)",
		(double)size / UPLOADS_MIB, (double)settings->upload_limit_bytes / UPLOADS_MIB);
	return err_reason(err, "upload-limit");
}

/* ---------------------------------------------------------------- room */

struct uploads_row {
	char name[SHA256_HEX];
	uint64_t bytes;
	struct timespec used;
};

struct uploads_rows {
	struct uploads_row *rows;
	size_t count;
	uint64_t bytes;
};

static void uploads_note(void *ctx, int dir, const char *name)
{
	struct uploads_rows *rows = ctx;
	struct stat st;
	if (!sha256_is_hex(name) || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	rows->rows = xrealloc(rows->rows, rows->count + 1, sizeof(*rows->rows));
	struct uploads_row *row = &rows->rows[rows->count++];
	*row = (struct uploads_row){ .bytes = (uint64_t)st.st_size, .used = st.st_mtim };
	memcpy(row->name, name, sizeof(row->name));
	rows->bytes += row->bytes;
}

static int uploads_compare(const void *a, const void *b)
{
	const struct timespec *one = &((const struct uploads_row *)a)->used, *two = &((const struct uploads_row *)b)->used;
	if (one->tv_sec != two->tv_sec)
		return one->tv_sec < two->tv_sec ? -1 : 1;
	return one->tv_nsec < two->tv_nsec ? -1 : one->tv_nsec > two->tv_nsec;
}

static bool uploads_is_in_use(const struct uploads *uploads, uid_t uid, const char *digest)
{
	const struct registry *registry = uploads->config.registry;
	for (size_t i = 0; i < registry_count(registry); i++) {
		const struct instance *inst = registry_row(registry, i);
		const Pwemu__V1__StartRequest *request = instance_request(inst);
		for (size_t k = 0; request != NULL && instance_uid(inst) == uid && k < request->n_images; k++)
			if (strcmp(request->images[k]->digest, digest) == 0)
				return true;
	}
	return false;
}

static unsigned uploads_under_way(const struct uploads *uploads, uid_t uid, uint64_t *bytes)
{
	const struct upload *upload;
	unsigned count = 0;
	LIST_FOREACH (upload, &uploads->open, link) {
		count += upload->uid == uid;
		*bytes += upload->uid == uid ? upload->size : 0;
	}
	return count;
}

/* Oldest first, as long as there is need. */
static void uploads_evict(const struct uploads *uploads, uid_t uid, struct uploads_rows *rows, uint64_t limit)
{
	char *dir = uploads_dir(uploads->config.state_dir, uid);
	if (rows->count > 0)
		qsort(rows->rows, rows->count, sizeof(*rows->rows), uploads_compare);
	size_t left = rows->count;
	for (size_t i = 0; i < rows->count && (rows->bytes > limit || left >= UPLOADS_FILES); i++) {
		if (uploads_is_in_use(uploads, uid, rows->rows[i].name))
			continue;
		char *path = xasprintf("%s/%s", dir, rows->rows[i].name);
		if (unlink(path) == 0) {
			rows->bytes -= rows->rows[i].bytes;
			left--;
		}
		free(path);
	}
	free(dir);
}

static int uploads_make_room(const struct uploads *uploads, uid_t uid, uint64_t size, struct err *err)
{
	struct uploads_rows rows = { 0 };
	uint64_t limit = uploads->config.settings->upload_store_bytes, coming = size;
	unsigned count = uploads_under_way(uploads, uid, &coming);
	if (count >= UPLOADS_AT_ONCE) {
		err_set(err, ERR_RESOURCE_EXHAUSTED, "%u images are being sent by this user already; try again when one is there", count);
		return err_reason(err, "upload-limit");
	}
	char *dir = uploads_dir(uploads->config.state_dir, uid);
	uploads_walk(dir, uploads_note, &rows);
	free(dir);
	if (coming <= limit)
		uploads_evict(uploads, uid, &rows, limit - coming);
	bool fits = coming <= limit && rows.bytes <= limit - coming;
	free(rows.rows);
	if (fits)
		return 0;
	err_set(err, ERR_RESOURCE_EXHAUSTED,
		"its %.1f MiB do not fit beside the %.1f MiB of this user's images that are in use or being sent: the limit is %.1f MiB "
		"(the daemon's setting upload-store); forget instances that have ended with: pwemu rm",
		(double)size / UPLOADS_MIB, (double)(rows.bytes + coming - size) / UPLOADS_MIB, (double)limit / UPLOADS_MIB);
	return err_reason(err, "upload-store");
}

/* ---------------------------------------------------------------- one upload */

/* Of many users each comes to his images, and nobody else: their names are in command lines, which everybody sees. Nobody can write there.
 * Where the file system has no lists everybody who knows a name can read. */
static int uploads_open_to(const char *dir, uid_t uid, struct err *err)
{
	int fd = -1;
	if (dirs_open(dir, &fd, err) < 0)
		return -1;
	struct err no_list = ERR_INIT;
	bool has_list = acl_allow(fd, uid, ACL_EXECUTE, &no_list) == 0;
	int rc = fchmod(fd, has_list ? 0710 : 0711); /* the group's bits are the list's mask */
	if (rc < 0)
		err_sys(err, errno, "open \"%s\" to its user", dir);
	if (!has_list)
		log_debug(NULL, "\"%s\" is open to all who know a name in it: %s", dir, no_list.msg);
	close(fd);
	return rc;
}

static int uploads_make_dir(const struct uploads *uploads, uid_t uid, struct err *err)
{
	char *dir = uploads_dir(uploads->config.state_dir, uid), *parent = xasprintf("%s/images", uploads->config.state_dir);
	int rc = dirs_make(dir, err);
	if (rc == 0 && uid != geteuid() && chmod(parent, 0711) < 0)
		rc = err_sys(err, errno, "open \"%s\" to its users", parent);
	if (rc == 0 && uid != geteuid())
		rc = uploads_open_to(dir, uid, err);
	free(parent);
	free(dir);
	return rc;
}

static int upload_open(struct upload *upload, struct err *err)
{
	upload->fd = open(upload->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return upload->fd < 0 ? err_sys(err, errno, "make \"%s\"", upload->tmp) : 0;
}

struct upload *upload_new(struct uploads *uploads, uid_t uid, const char *digest, uint64_t size, struct err *err)
{
	if (uploads_check(uploads, size, err) < 0 || uploads_make_room(uploads, uid, size, err) < 0 ||
	    uploads_make_dir(uploads, uid, err) < 0)
		return NULL;
	struct upload *upload = xcalloc(1, sizeof(*upload));
	char *dir = uploads_dir(uploads->config.state_dir, uid);
	upload->uploads = uploads;
	upload->uid = uid;
	upload->size = size;
	upload->path = uploads_path(uploads->config.state_dir, uid, digest);
	upload->tmp = xasprintf("%s/" UPLOADS_TMP "%d-%u", dir, (int)getpid(), ++uploads->last);
	memcpy(upload->digest, digest, sizeof(upload->digest));
	sha256_init(&upload->sha);
	LIST_INSERT_HEAD(&uploads->open, upload, link);
	free(dir);
	if (upload_open(upload, err) == 0)
		return upload;
	upload_free(upload);
	return NULL;
}

uint64_t upload_received(const struct upload *upload)
{
	return upload->received;
}

static int upload_write(const struct upload *upload, const void *bytes, size_t len, struct err *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = write(upload->fd, (const char *)bytes + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOSPC || errno == EDQUOT)) {
			err_set(err, ERR_RESOURCE_EXHAUSTED, "the daemon's disk is full (\"%s/images\")",
				upload->uploads->config.state_dir);
			return err_reason(err, "disk-full");
		}
		if (n <= 0)
			return err_sys(err, n < 0 ? errno : EIO, "write \"%s\"", upload->tmp);
		done += (size_t)n;
	}
	return 0;
}

static int upload_mismatch(struct err *err)
{
	return err_reason(err, "upload-mismatch");
}

int upload_add(struct upload *upload, const void *bytes, size_t len, struct err *err)
{
	if (len > upload->size - upload->received) {
		err_set(err, ERR_INVALID_ARGUMENT, "more came than the %" PRIu64 " bytes announced; was the file written meanwhile?",
			upload->size);
		return upload_mismatch(err);
	}
	if (upload_write(upload, bytes, len, err) < 0)
		return -1;
	sha256_add(&upload->sha, bytes, len);
	upload->received += len;
	return 0;
}

int upload_finish(struct upload *upload, struct err *err)
{
	char hex[SHA256_HEX];
	if (upload->received < upload->size) {
		err_set(err, ERR_INVALID_ARGUMENT, "it ended after %" PRIu64 " of %" PRIu64 " bytes", upload->received, upload->size);
		return upload_mismatch(err);
	}
	sha256_finish_hex(&upload->sha, hex);
	if (strcmp(hex, upload->digest) != 0) {
		err_set(err, ERR_INVALID_ARGUMENT,
			"what came is not what was announced (SHA-256 %.12s…, not %.12s…); was the file written meanwhile?", hex,
			upload->digest);
		return upload_mismatch(err);
	}
	if (fchmod(upload->fd, 0444) < 0 || rename(upload->tmp, upload->path) < 0)
		return err_sys(err, errno, "keep \"%s\"", upload->path);
	free(upload->tmp);
	upload->tmp = NULL;
	return 0;
}

void upload_free(struct upload *upload)
{
	if (upload == NULL)
		return;
	LIST_REMOVE(upload, link);
	if (upload->fd >= 0)
		close(upload->fd);
	if (upload->tmp != NULL && upload->fd >= 0)
		(void)unlink(upload->tmp);
	free(upload->tmp);
	free(upload->path);
	free(upload);
}
