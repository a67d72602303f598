/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Test cases out of what consoles print. Every channel is parsed on its own, in pieces cut anywhere. Pure, and bounded: of a case's
 * output the beginning and the end are kept, of all cases together so much, and of too many cases only their number.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of cases that went well and, apart from them, of those that did not: how many are kept, and how much of their texts. */
#define JUNIT_CASES_MAX 50000
#define JUNIT_TEXTS_MAX (8u << 20)

enum junit_result {
	JUNIT_PASSED,
	JUNIT_SKIPPED,
	JUNIT_FAILED,
	JUNIT_UNFINISHED, /* it began and did not end */
	JUNIT_RESULT_COUNT
};

struct junit_case {
	enum junit_result result;
	size_t channel;
	char *suite, *name;
	char *message; /* why it failed, did not end or was skipped; NULL: unknown, or because the run ended */
	char *output;  /* what was printed meanwhile; NULL: nothing */
	char *failure; /* of that, from the first line on that tells of a failure; NULL: nothing */
	size_t output_len, failure_len;
	double seconds;
};

struct junit;

struct junit *junit_new(void);
void junit_free(struct junit *junit); /* takes NULL */

size_t junit_add_channel(struct junit *junit, const char *name);
/* What the channel has printed. now_us is any clock: it times the tests that do not do so themselves. */
void junit_feed(struct junit *junit, size_t channel, const char *bytes, size_t len, uint64_t now_us);
/* Nothing more comes: a test that runs is unfinished. */
void junit_finish(struct junit *junit, uint64_t now_us);

size_t junit_count(const struct junit *junit); /* cases that are kept */
const struct junit_case *junit_case(const struct junit *junit, size_t index);
size_t junit_total(const struct junit *junit, enum junit_result result);   /* all that were seen */
size_t junit_dropped(const struct junit *junit, enum junit_result result); /* of these, not kept */

size_t junit_channel_count(const struct junit *junit);
const char *junit_channel_name(const struct junit *junit, size_t channel);
/* What the channel printed outside of tests; after junit_finish(). NULL: nothing. */
const char *junit_channel_text(const struct junit *junit, size_t channel, size_t *len);
