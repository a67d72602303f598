/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a line of a console says of a test. Recognised are the lines of GoogleTest, of Pigweed's pw_unit_test (the same, also behind the
 * prefix of a log) and of Zephyr's ztest in its forms since 1.x. Pure: looks at one line, keeps nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define JUNIT_NAME_MAX 256 /* of a test as it is printed; a longer one is not recognised */

enum junit_mark {
	JUNIT_TEXT, /* none */
	JUNIT_BEGIN,
	JUNIT_PASS,
	JUNIT_FAIL,
	JUNIT_SKIP,
	JUNIT_SUITE_BEGIN,
	JUNIT_SUITE_END,
	JUNIT_SUITE_FAIL,
};

struct junit_line {
	enum junit_mark mark;
	bool is_ztest;
	bool is_summary;  /* ztest's list at the end; the name is SUITE.TEST */
	const char *name; /* in the line, name_len bytes */
	size_t name_len;
	size_t at;      /* where the mark begins; what is before it is the test's */
	double seconds; /* negative: it does not say */
};

/* `line` has no escape sequences and no line end. An end counts only for `running`, the test that runs (NULL: none), or where the line
 * leaves no doubt. */
void junit_line_read(const char *line, size_t len, const char *running, struct junit_line *out);

/* Removes what colours a line (ESC [ … letter) and carriage returns at its end, in place; returns its length. */
size_t junit_line_strip(char *line, size_t len);

/* The line tells why a test fails or is skipped. */
bool junit_line_is_reason(const char *line, size_t len);
/* It only tells where; the next one says what: "x.cc:12: Failure". */
bool junit_line_is_place(const char *line, size_t len);
