/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const code_names[] = {
	[ERR_OK] = "OK",
	[ERR_CANCELLED] = "CANCELLED",
	[ERR_UNKNOWN] = "UNKNOWN",
	[ERR_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
	[ERR_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
	[ERR_NOT_FOUND] = "NOT_FOUND",
	[ERR_ALREADY_EXISTS] = "ALREADY_EXISTS",
	[ERR_PERMISSION_DENIED] = "PERMISSION_DENIED",
	[ERR_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
	[ERR_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
	[ERR_ABORTED] = "ABORTED",
	[ERR_OUT_OF_RANGE] = "OUT_OF_RANGE",
	[ERR_UNIMPLEMENTED] = "UNIMPLEMENTED",
	[ERR_INTERNAL] = "INTERNAL",
	[ERR_UNAVAILABLE] = "UNAVAILABLE",
	[ERR_DATA_LOSS] = "DATA_LOSS",
	[ERR_UNAUTHENTICATED] = "UNAUTHENTICATED",
};
_Static_assert(sizeof(code_names) / sizeof(code_names[0]) == ERR_CODE_COUNT, "a name for every code");

static const struct {
	int sys;
	enum err_code code;
} sys_codes[] = {
	{ ENOENT, ERR_NOT_FOUND },
	{ ENOTDIR, ERR_NOT_FOUND },
	{ EACCES, ERR_PERMISSION_DENIED },
	{ EPERM, ERR_PERMISSION_DENIED },
	{ EEXIST, ERR_ALREADY_EXISTS },
	{ EINVAL, ERR_INVALID_ARGUMENT },
	{ ENAMETOOLONG, ERR_INVALID_ARGUMENT },
	{ EISDIR, ERR_INVALID_ARGUMENT },
	{ EMFILE, ERR_RESOURCE_EXHAUSTED },
	{ ENFILE, ERR_RESOURCE_EXHAUSTED },
	{ ENOSPC, ERR_RESOURCE_EXHAUSTED },
	{ EDQUOT, ERR_RESOURCE_EXHAUSTED },
	{ ENOMEM, ERR_RESOURCE_EXHAUSTED },
	{ EAGAIN, ERR_RESOURCE_EXHAUSTED },
	{ ECONNREFUSED, ERR_UNAVAILABLE },
	{ ECONNRESET, ERR_UNAVAILABLE },
	{ EPIPE, ERR_UNAVAILABLE },
	{ ETIMEDOUT, ERR_DEADLINE_EXCEEDED },
};

static enum err_code code_of_sys(int sys)
{
	for (size_t i = 0; i < sizeof(sys_codes) / sizeof(sys_codes[0]); i++)
		if (sys_codes[i].sys == sys)
			return sys_codes[i].code;
	return ERR_INTERNAL;
}

static void mark_truncated(char *msg, int wanted)
{
	if (wanted >= ERR_MSG_MAX)
		memcpy(msg + ERR_MSG_MAX - 4, "...", 4);
}

int err_vset(struct err *err, enum err_code code, const char *fmt, va_list ap)
{
	if (err == NULL)
		return -1;
	char msg[ERR_MSG_MAX]; /* the arguments may point into err->msg */
	mark_truncated(msg, vsnprintf(msg, sizeof(msg), fmt, ap));
	err->code = code;
	err->sys = 0;
	err->reason[0] = '\0';
	memcpy(err->msg, msg, sizeof(msg));
	return -1;
}

int err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	err_vset(err, code, fmt, ap);
	va_end(ap);
	return -1;
}

int err_sys(struct err *err, int sys, const char *fmt, ...)
{
	if (err == NULL)
		return -1;
	va_list ap;
	va_start(ap, fmt);
	err_vset(err, code_of_sys(sys), fmt, ap);
	va_end(ap);
	size_t used = strlen(err->msg);
	mark_truncated(err->msg, (int)used + snprintf(err->msg + used, sizeof(err->msg) - used, ": %s", strerror(sys)));
	err->sys = sys;
	return -1;
}

int err_reason(struct err *err, const char *reason)
{
	if (err != NULL)
		snprintf(err->reason, sizeof(err->reason), "%s", reason);
	return -1;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
	if (err == NULL)
		return -1;
	char msg[ERR_MSG_MAX];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (n < 0 || n >= (int)sizeof(msg))
		return -1;
	mark_truncated(msg, n + snprintf(msg + n, sizeof(msg) - (size_t)n, ": %s", err->msg));
	memcpy(err->msg, msg, sizeof(msg));
	return -1;
}

const char *err_code_name(enum err_code code)
{
	return (unsigned)code < ERR_CODE_COUNT ? code_names[code] : "UNKNOWN";
}
