/* SPDX-License-Identifier: Apache-2.0 */
#include "loop/proc_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/protocol.h"

/* ---- lines "key value" in a fixed order */

struct reader {
	const char *at, *end;
	bool ok;
};

/* The value of the next line, which must have this key; NULL and not ok otherwise. */
static const char *reader_value(struct reader *reader, const char *key, size_t *len)
{
	size_t key_len = strlen(key), left = (size_t)(reader->end - reader->at);
	const char *newline = reader->ok ? memchr(reader->at, '\n', left) : NULL;
	if (newline == NULL || (size_t)(newline - reader->at) < key_len + 2 || memcmp(reader->at, key, key_len) != 0 ||
	    reader->at[key_len] != ' ') {
		reader->ok = false;
		return NULL;
	}
	const char *value = reader->at + key_len + 1;
	*len = (size_t)(newline - value);
	reader->at = newline + 1;
	return value;
}

static uint64_t reader_number(struct reader *reader, const char *key, uint64_t max)
{
	size_t len = 0;
	const char *digits = reader_value(reader, key, &len);
	uint64_t number = 0;
	if (digits == NULL)
		return 0;
	for (size_t i = 0; i < len; i++) {
		unsigned digit = (unsigned)(digits[i] - '0');
		if (digit > 9 || len > 19 || (len > 1 && digits[0] == '0')) {
			reader->ok = false;
			return 0;
		}
		number = number * 10 + digit;
	}
	if (number > max)
		reader->ok = false;
	return reader->ok ? number : 0;
}

/* "-" stands for the empty one. */
static void reader_string(struct reader *reader, const char *key, char *out, size_t size)
{
	size_t len = 0;
	const char *value = reader_value(reader, key, &len);
	if (value == NULL)
		return;
	if (len == 1 && value[0] == '-')
		len = 0;
	if (len >= size || memchr(value, '\0', len) != NULL) {
		reader->ok = false;
		return;
	}
	memcpy(out, value, len);
	out[len] = '\0';
}

static void reader_expect(struct reader *reader, const char *line)
{
	size_t len = strlen(line);
	if (!reader->ok || (size_t)(reader->end - reader->at) < len || memcmp(reader->at, line, len) != 0)
		reader->ok = false;
	else
		reader->at += len;
}

static void reader_identity(struct reader *reader, struct proc_run *run)
{
	run->pid = (pid_t)reader_number(reader, "pid", INT32_MAX);
	run->start = reader_number(reader, "start", UINT64_MAX);
	reader_string(reader, "boot", run->boot_id, sizeof(run->boot_id));
	run->shim_pid = (pid_t)reader_number(reader, "shim", INT32_MAX);
	run->shim_start = reader_number(reader, "shim_start", UINT64_MAX);
}

static bool reader_is_done(struct reader *reader)
{
	reader_expect(reader, "end\n");
	return reader->ok && reader->at == reader->end;
}

/* ---- records */

int proc_run_parse(const char *text, size_t len, struct proc_run *out, struct err *err)
{
	struct reader reader = { text, text + len, true };
	struct proc_run run = { 0 };
	reader_expect(&reader, SHIM_RUN_TITLE "\n");
	reader_identity(&reader, &run);
	run.uid = (uid_t)reader_number(&reader, "uid", UINT32_MAX);
	reader_string(&reader, "mark", run.mark, sizeof(run.mark));
	if (!reader_is_done(&reader) || run.pid == 0 || run.shim_pid == 0)
		return err_set(err, ERR_DATA_LOSS, "not a record of a running program");
	*out = run;
	return 0;
}

int proc_end_parse(const char *text, size_t len, struct proc_run *run, struct proc_end *out, struct err *err)
{
	struct reader reader = { text, text + len, true };
	struct proc_run identity = { 0 };
	struct proc_end end = { 0 };
	reader_expect(&reader, SHIM_END_TITLE "\n");
	reader_identity(&reader, &identity);
	bool exited = reader_number(&reader, "exited", 1) == 1;
	int code = (int)reader_number(&reader, "code", 255);
	end.code = exited ? code : -1;
	end.signal = (int)reader_number(&reader, "signal", 127);
	end.exec_errno = (int)reader_number(&reader, "errno", 4095);
	reader_string(&reader, "what", end.exec_what, sizeof(end.exec_what));
	end.time_ns = reader_number(&reader, "time", UINT64_MAX);
	end.user_us = reader_number(&reader, "user_us", UINT64_MAX);
	end.system_us = reader_number(&reader, "system_us", UINT64_MAX);
	end.max_rss_kib = reader_number(&reader, "max_rss_kib", UINT64_MAX);
	/* exactly one way to end */
	if (!reader_is_done(&reader) || exited + (end.signal != 0) + (end.exec_errno != 0) != 1)
		return err_set(err, ERR_DATA_LOSS, "not a record of an end");
	memcpy(identity.mark, run->mark, sizeof(identity.mark));
	identity.uid = run->uid;
	*run = identity;
	*out = end;
	return 0;
}

/* One byte more than a record may have, so that a longer file is not taken for one. */
static int record_read(int run_dir, const char *name, const char *suffix, char buf[SHIM_PACKET_MAX], size_t *len, struct err *err)
{
	char path[SHIM_NAME_MAX + 16];
	snprintf(path, sizeof(path), "%s%s", name, suffix);
	int fd = openat(run_dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_sys(err, errno, "open \"%s\"", path);
	size_t used = 0;
	ssize_t n = 1;
	while (n != 0 && used < SHIM_PACKET_MAX) {
		n = read(fd, buf + used, SHIM_PACKET_MAX - used);
		if (n < 0 && errno != EINTR) {
			int sys = errno;
			close(fd);
			return err_sys(err, sys, "read \"%s\"", path);
		}
		used += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	*len = used;
	return 0;
}

int proc_run_read(int run_dir, const char *name, struct proc_run *out, struct err *err)
{
	char buf[SHIM_PACKET_MAX];
	size_t len = 0;
	if (record_read(run_dir, name, ".run", buf, &len, err) != 0)
		return -1;
	return proc_run_parse(buf, len, out, err) != 0 ? err_prefix(err, "\"%s.run\"", name) : 0;
}

int proc_end_read(int run_dir, const char *name, struct proc_run *run, struct proc_end *out, struct err *err)
{
	char buf[SHIM_PACKET_MAX];
	size_t len = 0;
	if (record_read(run_dir, name, ".end", buf, &len, err) != 0)
		return -1;
	return proc_end_parse(buf, len, run, out, err) != 0 ? err_prefix(err, "\"%s.end\"", name) : 0;
}

/* ---- identity */

static ssize_t small_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n;
	do
		n = read(fd, buf, size - 1);
	while (n < 0 && errno == EINTR);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	return n;
}

const char *proc_host_boot(void)
{
	static char id[PROC_BOOT_ID_MAX];
	if (id[0] == '\0' && small_file("/proc/sys/kernel/random/boot_id", id, sizeof(id)) > 0)
		id[strcspn(id, "\n")] = '\0';
	return id;
}

bool proc_boot_is_current(const struct proc_run *run)
{
	const char *id = proc_host_boot();
	/* not known: as if it were, start times decide */
	return id[0] == '\0' || run->boot_id[0] == '\0' || strcmp(id, run->boot_id) == 0;
}

bool proc_started_at(pid_t pid, uint64_t *start, bool *is_zombie)
{
	char path[64], buf[512];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (pid <= 0 || small_file(path, buf, sizeof(buf)) <= 0)
		return false;
	const char *at = strrchr(buf, ')'); /* behind it " S 12 …", fields 3 and on */
	*is_zombie = at != NULL && (strncmp(at, ") Z", 3) == 0 || strncmp(at, ") X", 3) == 0);
	for (int field = 2; at != NULL && field < 22; field++) {
		at = strchr(at, ' ');
		at = at != NULL ? at + 1 : NULL;
	}
	char *end;
	*start = at != NULL ? strtoull(at, &end, 10) : 0;
	return at != NULL && end != at && *end == ' ';
}

bool proc_is_same(pid_t pid, uint64_t start)
{
	uint64_t now;
	bool is_zombie;
	return proc_started_at(pid, &now, &is_zombie) && now == start;
}
