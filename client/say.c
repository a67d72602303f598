/* SPDX-License-Identifier: Apache-2.0 */
#include "client/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/term.h"
#include "wire/utf8.h"

bool say_is_quiet;
bool say_is_verbose;

/* One write(2) for a line, so that lines of several processes do not mix. Nothing can be done when stderr is gone. */
static void write_line(const char *prefix, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void write_line(const char *prefix, const char *fmt, va_list ap)
{
	static bool was_raw;
	char line[ERR_MSG_MAX + 128];
	/* The guest may have left the cursor anywhere; only our first line finds it at a beginning. */
	bool on_new_line = term_is_raw() && was_raw;
	was_raw = term_is_raw();
	int n = snprintf(line, sizeof(line) - 2, "%s%s", on_new_line ? "\r\n" : "", prefix), begin = on_new_line ? 2 : 0;
	int m = vsnprintf(line + n, sizeof(line) - 2 - (size_t)n, fmt, ap);
	if (m < 0)
		return;
	utf8_make_harmless(line + begin);
	size_t len = strlen(line);
	if (term_is_raw())
		line[len++] = '\r';
	line[len++] = '\n';
	ssize_t done = write(STDERR_FILENO, line, len);
	(void)done;
}

void say_error(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	write_line("pwemu: ", fmt, ap);
	va_end(ap);
}

void say_err(const struct err *err)
{
	say_error("%s", err->msg);
}

void say_note(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (!say_is_quiet)
		write_line("pwemu: ", fmt, ap);
	va_end(ap);
}

void say_detail(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (say_is_verbose)
		write_line("pwemu: ", fmt, ap);
	va_end(ap);
}

void say_banner(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (!say_is_quiet)
		write_line("", fmt, ap);
	va_end(ap);
}
