/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors. A function that can fail takes a caller-owned `struct err *` last (out-parameters excepted) and returns 0 or -1.
 * The leaf says what and which ("open \"x\": No such file or directory"), each caller adds its noun once with err_prefix().
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

/* The gRPC status codes. */
enum err_code {
	ERR_OK = 0,
	ERR_CANCELLED = 1,
	ERR_UNKNOWN = 2,
	ERR_INVALID_ARGUMENT = 3,
	ERR_DEADLINE_EXCEEDED = 4,
	ERR_NOT_FOUND = 5,
	ERR_ALREADY_EXISTS = 6,
	ERR_PERMISSION_DENIED = 7,
	ERR_RESOURCE_EXHAUSTED = 8,
	ERR_FAILED_PRECONDITION = 9,
	ERR_ABORTED = 10,
	ERR_OUT_OF_RANGE = 11,
	ERR_UNIMPLEMENTED = 12,
	ERR_INTERNAL = 13,
	ERR_UNAVAILABLE = 14,
	ERR_DATA_LOSS = 15,
	ERR_UNAUTHENTICATED = 16,
	ERR_CODE_COUNT
};

#define ERR_MSG_MAX    1024
#define ERR_REASON_MAX 32

struct err {
	enum err_code code;
	int sys;                     /* errno, 0 if none */
	char reason[ERR_REASON_MAX]; /* machine-readable, "already-running"; sent as the trailer pwemu-reason; "" if none */
	char msg[ERR_MSG_MAX];       /* for people; truncated with "..." when longer */
};

#define ERR_INIT                                                                                                                           \
	{                                                                                                                                  \
		.code = ERR_OK                                                                                                             \
	}

/* Sets code and message, clears reason and sys. Returns -1, so that a function can end with `return err_set(...)`. err may be NULL. */
int err_set(struct err *err, enum err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_vset(struct err *err, enum err_code code, const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

/* As err_set, appends ": " and the text of errno value `sys`, and derives the code from it (ENOENT: NOT_FOUND, EACCES: PERMISSION_DENIED,
 * …). */
int err_sys(struct err *err, int sys, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Sets the reason of an error that is set. Returns -1. */
int err_reason(struct err *err, const char *reason);

/* Puts "text: " before the message. Returns -1. */
int err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline bool err_is_set(const struct err *err)
{
	return err->code != ERR_OK;
}

/* "NOT_FOUND" */
const char *err_code_name(enum err_code code);
