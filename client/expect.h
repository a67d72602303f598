/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --expect and --fail: what channels print is looked at line by line, also a line that is not finished yet. Every --expect must be
 * seen, in any order and on any channel; one --fail is enough. Once it is decided, only the rest of the deciding line is of interest.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "pwemu/v1/targets.pb-c.h"
#include "wire/err.h"

struct expect;
struct opts;

enum expect_result { EXPECT_OPEN, EXPECT_MET, EXPECT_FAILED };

struct expect *expect_new(void);
void expect_free(struct expect *expect); /* takes NULL */
int expect_add(struct expect *expect, const char *pattern, bool is_fail, struct err *err) __attribute__((warn_unused_result));
/* From --expect and --fail of a command line; NULL when there is neither. On failure too *out is the caller's. */
int expect_from(const struct opts *opts, struct expect **out, struct err *err) __attribute__((warn_unused_result));
/* Adds what the target expects and fails on, each where the command line does not say its own. */
int expect_from_target(const struct opts *opts, const Pwemu__V1__TargetDefaults *defaults, struct expect **out, struct err *err)
	__attribute__((warn_unused_result));
size_t expect_add_channel(struct expect *expect);

/* Looks at what a channel has printed; returns how much of it is to be shown. */
size_t expect_feed(struct expect *expect, size_t channel, const char *bytes, size_t len);

enum expect_result expect_result(const struct expect *expect);
/* It is decided, and the deciding line has been shown to its end. */
bool expect_is_finished(const struct expect *expect);
/* The pattern that decided, or, while it is open, the first that was not seen; NULL: every one was. */
const char *expect_pattern(const struct expect *expect);
