/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libsystemd is loaded and not linked: a daemon that a client starts would pay for it (and for the compressors that it brings along) with
 * more than its own start takes.
 */
#include "base/systemd.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "wire/mem.h"

#ifdef WITH_SYSTEMD
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>
#else
#define SD_LISTEN_FDS_START 3
#endif

#define SYSTEMD_LIBRARY    "libsystemd.so.0"
#define SYSTEMD_LISTEN_MAX 64

/* What it sets, in the order of `enum`. */
static const char *const names[] = { "NOTIFY_SOCKET", "LISTEN_FDS",   "LISTEN_PID",    "LISTEN_FDNAMES",
				     "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM" };
enum { NOTIFY_SOCKET, LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES, WATCHDOG_USEC, WATCHDOG_PID, JOURNAL_STREAM, NAME_COUNT };
_Static_assert(sizeof(names) / sizeof(names[0]) == NAME_COUNT, "a name for each");

static struct {
	char *values[NAME_COUNT]; /* NULL: not set, or not meant for us */
	int fd_count;             /* passed ones, from SD_LISTEN_FDS_START on */
	bool has_journal;
	bool is_loaded;
#ifdef WITH_SYSTEMD
	__typeof__(&sd_pid_notify) notify;
	__typeof__(&sd_journal_sendv) sendv;
#endif
} systemd;

static bool systemd_is_for_us(int name)
{
	return systemd.values[name] == NULL || strtol(systemd.values[name], NULL, 10) == getpid();
}

/* "DEVICE:INODE" of what it has made stdout or stderr. */
static bool systemd_is_journal(const char *stream)
{
	struct stat st;
	char text[64];
	if (stream == NULL || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	return strcmp(stream, text) == 0;
}

static void systemd_load(void)
{
#ifdef WITH_SYSTEMD
	void *library = dlopen(SYSTEMD_LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL) {
		log_warn(NULL, "the service manager is not answered: %s", dlerror());
		return;
	}
	systemd.notify = (__typeof__(systemd.notify))dlsym(library, "sd_pid_notify");
	systemd.sendv = (__typeof__(systemd.sendv))dlsym(library, "sd_journal_sendv");
	systemd.is_loaded = systemd.notify != NULL && systemd.sendv != NULL;
#else
	if (systemd.fd_count > 0)
		log_warn(NULL,
			 "LISTEN_FDS is set, but this pwemud was built without libsystemd (WITH_SYSTEMD=no): the sockets are not used");
	if (systemd.values[NOTIFY_SOCKET] != NULL)
		log_warn(NULL, "NOTIFY_SOCKET is set, but this pwemud was built without libsystemd (WITH_SYSTEMD=no): nobody is notified");
#endif
}

void systemd_take(bool is_ours)
{
	for (int i = 0; i < NAME_COUNT; i++) {
		const char *value = getenv(names[i]);
		systemd.values[i] = value != NULL && is_ours ? xstrdup(value) : NULL;
		(void)unsetenv(names[i]);
	}
	if (systemd.values[LISTEN_FDS] != NULL && systemd.values[LISTEN_PID] != NULL && systemd_is_for_us(LISTEN_PID))
		systemd.fd_count = (int)strtol(systemd.values[LISTEN_FDS], NULL, 10);
	if (systemd.fd_count < 0 || systemd.fd_count > SYSTEMD_LISTEN_MAX)
		systemd.fd_count = 0;
	bool is_journal = systemd_is_journal(systemd.values[JOURNAL_STREAM]);
	if (systemd.values[NOTIFY_SOCKET] != NULL || systemd.fd_count > 0 || is_journal)
		systemd_load();
	systemd.has_journal = is_journal && systemd.is_loaded;
}

/* ---------------------------------------------------------------- sockets */

static bool systemd_is_listener(int fd, char *path, size_t size)
{
	struct sockaddr_un address = { .sun_family = AF_UNSPEC };
	socklen_t len = sizeof(address), option_len = sizeof(int);
	int listens = 0, type = 0;
	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0 || address.sun_family != AF_UNIX || address.sun_path[0] != '/' ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &option_len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &option_len) < 0 || type != SOCK_STREAM || listens == 0)
		return false;
	return snprintf(path, size, "%.*s", (int)sizeof(address.sun_path), address.sun_path) < (int)size;
}

int systemd_listener(char *path, size_t size)
{
	int found = -1;
	for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + systemd.fd_count; fd++) {
		if (!systemd.is_loaded || found >= 0 || !systemd_is_listener(fd, path, size)) {
			if (systemd.is_loaded)
				log_warn(NULL, "descriptor %d was passed to be listened on, but is %s: closed", fd,
					 found >= 0 ? "not the first" : "no UNIX socket with a path that listens");
			(void)close(fd);
			continue;
		}
		/* Out of the way of what takes the lowest number. */
		found = fcntl(fd, F_DUPFD_CLOEXEC, SD_LISTEN_FDS_START + SYSTEMD_LISTEN_MAX);
		int flags = fcntl(found, F_GETFL);
		if (found < 0 || flags < 0 || fcntl(found, F_SETFL, flags | O_NONBLOCK) < 0)
			log_warn(NULL, "the passed socket \"%s\" cannot be set up: %s", path, strerror(errno));
		(void)close(fd);
	}
	systemd.fd_count = 0;
	return found;
}

void systemd_hand_on(int listen_fd)
{
	char number[24];
	for (int i = 0; i < NAME_COUNT; i++)
		if (systemd.values[i] != NULL && i != LISTEN_FDS && i != LISTEN_PID && i != LISTEN_FDNAMES)
			(void)setenv(names[i], systemd.values[i], 1);
	if (listen_fd < 0 || dup2(listen_fd, SD_LISTEN_FDS_START) < 0)
		return;
	snprintf(number, sizeof(number), "%d", (int)getpid());
	(void)setenv(names[LISTEN_PID], number, 1);
	(void)setenv(names[LISTEN_FDS], "1", 1);
}

/* ---------------------------------------------------------------- notifications */

bool systemd_is_notified(void)
{
	return systemd.is_loaded && systemd.values[NOTIFY_SOCKET] != NULL;
}

void systemd_notify(const char *fmt, ...)
{
	if (!systemd_is_notified())
		return;
#ifdef WITH_SYSTEMD
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* The library takes the address from the environment. */
	(void)setenv(names[NOTIFY_SOCKET], systemd.values[NOTIFY_SOCKET], 1);
	int rc = systemd.notify(0, 1, text);
	if (rc < 0)
		log_debug(NULL, "the service manager is not told: %s", strerror(-rc));
#else
	(void)fmt;
#endif
}

uint64_t systemd_watchdog_ms(void)
{
	if (!systemd_is_notified() || systemd.values[WATCHDOG_USEC] == NULL || !systemd_is_for_us(WATCHDOG_PID))
		return 0;
	return strtoull(systemd.values[WATCHDOG_USEC], NULL, 10) / 1000;
}

/* ---------------------------------------------------------------- journal */

bool systemd_has_journal(void)
{
	return systemd.has_journal;
}

#ifdef WITH_SYSTEMD
struct systemd_fields {
	struct iovec rows[8];
	char *texts[8];
	int count;
};

static void systemd_field(struct systemd_fields *fields, const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	char *text = xasprintf("%s=%s", name, value);
	fields->texts[fields->count] = text;
	fields->rows[fields->count++] = (struct iovec){ text, strlen(text) };
}
#endif

bool systemd_journal(int priority, const char *text, const char *instance, const char *id, const char *user, const char *actor)
{
	if (!systemd.has_journal)
		return false;
#ifdef WITH_SYSTEMD
	struct systemd_fields fields = { .count = 0 };
	char number[2] = { (char)('0' + (priority & 7)), '\0' };
	systemd_field(&fields, "MESSAGE", text);
	systemd_field(&fields, "PRIORITY", number);
	systemd_field(&fields, "SYSLOG_IDENTIFIER", "pwemud");
	systemd_field(&fields, "INSTANCE", instance);
	systemd_field(&fields, "INSTANCE_ID", id);
	systemd_field(&fields, "USER", user);
	systemd_field(&fields, "ACTOR", actor);
	int rc = systemd.sendv(fields.rows, fields.count);
	for (int i = 0; i < fields.count; i++)
		free(fields.texts[i]);
	return rc == 0;
#else
	(void)priority, (void)text, (void)instance, (void)id, (void)user, (void)actor;
	return false;
#endif
}
