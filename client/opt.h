/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command line options, driven by tables. Rules: unique prefixes of long options, `--opt=value`, `--opt value`, `-abc` clusters,
 * `-fvalue`, `--` ends options, options and words in any order. Values are checked here against their type, so that the getters
 * below cannot fail. All texts stay in argv.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pwemu/v1/common.pb-c.h"
#include "wire/err.h"

enum opt_type {
	OPT_FLAG,
	OPT_TEXT,
	OPT_NUMBER,  /* 0 and more */
	OPT_INTEGER, /* any sign */
	OPT_DURATION,
	OPT_POSITION,
	OPT_KEY,        /* control key */
	OPT_CHOICE,     /* one of `arg`, "table|json" */
	OPT_MAY_CHOOSE, /* --opt or --opt=CHOICE */
	OPT_PAIR,       /* NAME=value */
	OPT_PORT,       /* of TCP, 1 to 65535 */
	OPT_ENDPOINT,   /* CHANNEL[=PORT] */
	OPT_RESTART,    /* restart policy */
	OPT_LEASE,
	OPT_TYPE_COUNT
};

struct opt_spec {
	const char *name; /* long name; NULL ends a table */
	char letter;      /* '\0': none */
	enum opt_type type;
	const char *arg; /* name of the argument for the help, or the choices */
	const char *help;
	bool repeat;       /* every one counts; otherwise the last wins */
	const char *alias; /* this is another spelling of the option so named, which the help does not show */
};

/* Rows of a table. */
#define OPT_ROW(name_, letter_, type_, arg_, help_)                                                                                        \
	{                                                                                                                                  \
		.name = name_, .letter = letter_, .type = type_, .arg = arg_, .help = help_                                                \
	}
#define OPT_MANY(name_, letter_, type_, arg_, help_)                                                                                       \
	{                                                                                                                                  \
		.name = name_, .letter = letter_, .type = type_, .arg = arg_, .help = help_, .repeat = true                                \
	}
#define OPT_ALIAS(name_, letter_, type_, of_)                                                                                              \
	{                                                                                                                                  \
		.name = name_, .letter = letter_, .type = type_, .arg = "", .help = "", .alias = of_                                       \
	}
#define OPT_END                                                                                                                            \
	{                                                                                                                                  \
		.name = NULL                                                                                                               \
	}

struct opt_value {
	const struct opt_spec *spec;
	const char *text; /* NULL: no argument */
};

struct opts {
	struct opt_value *values;
	size_t count;
	const char **args; /* words that are no options */
	size_t arg_count;
	const char *const *rest; /* what follows `--` */
	size_t rest_count;
	bool has_rest;
};

#define OPTS_INIT                                                                                                                          \
	{                                                                                                                                  \
		0                                                                                                                          \
	}
#define OPT_TABLES 3

/* Adds what argv[0..argc) holds. `tables` is ended by NULL. `stop`: end before the first word that is no option. Returns how many of
 * argv were used, -1 with INVALID_ARGUMENT otherwise. */
int opt_parse(struct opts *opts, const struct opt_spec *const *tables, int argc, char *const *argv, bool stop, struct err *err)
	__attribute__((warn_unused_result));
void opt_add_word(struct opts *opts, const char *word);
void opt_fini(struct opts *opts);

bool opt_has(const struct opts *opts, const char *name);
unsigned opt_count(const struct opts *opts, const char *name);
const char *opt_text(const struct opts *opts, const char *name);            /* the last; NULL if none */
const char *opt_nth(const struct opts *opts, const char *name, size_t nth); /* NULL behind the last */
bool opt_is(const struct opts *opts, const char *name, const char *choice);
int64_t opt_integer(const struct opts *opts, const char *name, int64_t fallback);
uint64_t opt_duration_ms(const struct opts *opts, const char *name, uint64_t fallback);
bool opt_position(const struct opts *opts, const char *name, Pwemu__V1__Position *out); /* false: not given, *out untouched */
