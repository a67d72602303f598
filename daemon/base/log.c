/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/systemd.h"
#include "wire/mem.h"

#define LOG_LINE_MAX   2048
#define LOG_ROTATE_LEN (4 << 20)

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};
_Static_assert(sizeof(level_names) / sizeof(level_names[0]) == LOG_LEVEL_COUNT, "a name for every level");

static struct {
	int fd;
	char *path; /* NULL: stderr */
	off_t written;
	enum log_level level;
} log_state = { .fd = STDERR_FILENO, .level = LOG_LEVEL_INFO };

static int log_open_file(const char *path, struct err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0)
		return err_sys(err, errno, "open log \"%s\"", path);
	struct stat st;
	log_state.written = fstat(fd, &st) == 0 ? st.st_size : 0;
	if (log_state.path != NULL)
		close(log_state.fd);
	log_state.fd = fd;
	return 0;
}

int log_setup(const char *path, enum log_level level, struct err *err)
{
	log_state.level = level;
	if (path == NULL)
		return 0;
	if (log_open_file(path, err) < 0)
		return -1;
	free(log_state.path);
	log_state.path = xstrdup(path);
	return 0;
}

int log_level_parse(const char *word, enum log_level *out)
{
	for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
		if (strcmp(word, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return -1;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

static void log_rotate(void)
{
	char *old = xasprintf("%s.1", log_state.path);
	if (rename(log_state.path, old) == 0)
		(void)log_open_file(log_state.path, NULL);
	else
		log_state.written = 0;
	free(old);
}

static size_t log_stamp(char *out, size_t size)
{
	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	return n + (size_t)snprintf(out + n, size - n, ".%06ldZ", now.tv_nsec / 1000);
}

static void log_clean(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = ' ';
}

static bool log_to_journal(enum log_level level, const struct log_scope *scope, const char *actor, const char *text)
{
	static const int priorities[] = { [LOG_LEVEL_ERROR] = 3, [LOG_LEVEL_WARNING] = 4, [LOG_LEVEL_INFO] = 6, [LOG_LEVEL_DEBUG] = 7 };
	static const struct log_scope none;
	if (log_state.path != NULL || !systemd_has_journal())
		return false;
	char *whole = xasprintf("%s%s%s", scope != NULL ? scope->name : "", scope != NULL ? ": " : "", text);
	scope = scope != NULL ? scope : &none;
	bool is_taken = systemd_journal(priorities[level], whole, scope->instance, scope->id, scope->user, actor);
	free(whole);
	return is_taken;
}

static void log_write(enum log_level level, const struct log_scope *scope, const char *text)
{
	char line[LOG_LINE_MAX];
	size_t n = log_stamp(line, sizeof(line));
	n += (size_t)snprintf(line + n, sizeof(line) - n, " %s %s: ", level_names[level], scope != NULL ? scope->name : "pwemud");
	snprintf(line + n, sizeof(line) - n - 1, "%s", text);
	log_clean(line);
	size_t len = strlen(line);
	line[len++] = '\n';
	ssize_t done = write(log_state.fd, line, len);
	if (done > 0)
		log_state.written += done;
	if (log_state.path != NULL && log_state.written > LOG_ROTATE_LEN)
		log_rotate();
}

static void log_vmessage(enum log_level level, const struct log_scope *scope, const char *actor, const char *fmt, va_list ap)
	__attribute__((format(printf, 4, 0)));
static void log_vmessage(enum log_level level, const struct log_scope *scope, const char *actor, const char *fmt, va_list ap)
{
	char text[LOG_LINE_MAX];
	if (level > log_state.level || vsnprintf(text, sizeof(text), fmt, ap) < 0)
		return;
	log_clean(text);
	if (!log_to_journal(level, scope, actor, text))
		log_write(level, scope, text);
}

void log_message(enum log_level level, const struct log_scope *scope, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	log_vmessage(level, scope, "", fmt, ap);
	va_end(ap);
}

void log_message_by(enum log_level level, const struct log_scope *scope, const char *actor, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	log_vmessage(level, scope, actor, fmt, ap);
	va_end(ap);
}
