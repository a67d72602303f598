/* SPDX-License-Identifier: Apache-2.0 */
#include "client/opt.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/lease.h"
#include "client/values.h"
#include "config/nearest.h"
#include "config/policy.h"
#include "wire/mem.h"

#define MAX_NAMES 64

struct parser {
	struct opts *opts;
	const struct opt_spec *const *tables;
	char *const *argv;
	int argc, at;
	struct err *err;
};

/* ---------------------------------------------------------------- looking up */

static bool takes_argument(const struct opt_spec *spec)
{
	return spec->type != OPT_FLAG && spec->type != OPT_MAY_CHOOSE;
}

static const struct opt_spec *find_named(const struct opt_spec *const *tables, const char *name)
{
	for (; *tables != NULL; tables++)
		for (const struct opt_spec *spec = *tables; spec->name != NULL; spec++)
			if (strcmp(spec->name, name) == 0)
				return spec;
	return NULL;
}

static const struct opt_spec *resolve(const struct parser *p, const struct opt_spec *spec)
{
	return spec->alias != NULL ? find_named(p->tables, spec->alias) : spec;
}

static const struct opt_spec *find_letter(const struct parser *p, char letter)
{
	for (const struct opt_spec *const *table = p->tables; *table != NULL; table++)
		for (const struct opt_spec *spec = *table; spec->name != NULL; spec++)
			if (spec->letter == letter)
				return resolve(p, spec);
	return NULL;
}

static int unknown_option(const struct parser *p, const char *name)
{
	const char *names[MAX_NAMES], *near[1];
	size_t count = 0;
	for (const struct opt_spec *const *table = p->tables; *table != NULL; table++)
		for (const struct opt_spec *spec = *table; spec->name != NULL && count < MAX_NAMES; spec++)
			names[count++] = spec->name;
	if (nearest_names(name, names, count, near, 1) > 0)
		return err_set(p->err, ERR_INVALID_ARGUMENT, "unknown option --%s: did you mean --%s?", name, near[0]);
	return err_set(p->err, ERR_INVALID_ARGUMENT, "unknown option --%s", name);
}

/* The option with this name, or the only one that begins so. */
static const struct opt_spec *find_long(const struct parser *p, const char *name, size_t len)
{
	const struct opt_spec *found = NULL;
	for (const struct opt_spec *const *table = p->tables; *table != NULL; table++) {
		for (const struct opt_spec *spec = *table; spec->name != NULL; spec++) {
			if (strncmp(spec->name, name, len) != 0)
				continue;
			const struct opt_spec *target = resolve(p, spec);
			if (spec->name[len] == '\0')
				return target;
			if (found != NULL && found != target) {
				err_set(p->err, ERR_INVALID_ARGUMENT, "--%.*s is ambiguous: --%s or --%s", (int)len, name, found->name,
					target->name);
				return NULL;
			}
			found = target;
		}
	}
	if (found == NULL) {
		char *copy = xmalloc(len + 1);
		memcpy(copy, name, len);
		copy[len] = '\0';
		unknown_option(p, copy);
		free(copy);
	}
	return found;
}

/* ---------------------------------------------------------------- values */

static bool is_choice(const char *choices, const char *text)
{
	size_t len = strlen(text);
	for (const char *c = choices; c != NULL && len > 0; c = strchr(c, '|') != NULL ? strchr(c, '|') + 1 : NULL)
		if (strncmp(c, text, len) == 0 && (c[len] == '\0' || c[len] == '|'))
			return true;
	return false;
}

static int check_value(const struct opt_spec *spec, const char *text, struct err *err)
{
	Pwemu__V1__RestartPolicy restart;
	Pwemu__V1__LeaseRequest lease;
	Pwemu__V1__Position position;
	uint64_t u;
	int64_t i;
	uint32_t port;
	size_t len;
	unsigned char key;
	switch (spec->type) {
	case OPT_NUMBER:
		return value_number(text, 0, INT32_MAX, &i, err);
	case OPT_INTEGER:
		return value_number(text, INT32_MIN, INT32_MAX, &i, err);
	case OPT_DURATION:
		return value_duration(text, &u, err);
	case OPT_POSITION:
		return value_position(text, &position, err);
	case OPT_KEY:
		return value_key(text, &key, err);
	case OPT_CHOICE:
	case OPT_MAY_CHOOSE:
		return is_choice(spec->arg, text) ? 0 : err_set(err, ERR_INVALID_ARGUMENT, "'%s' is not one of %s", text, spec->arg);
	case OPT_PORT:
		return value_port(text, &port, err);
	case OPT_ENDPOINT:
		return value_endpoint(text, &len, &port, err);
	case OPT_RESTART:
		return policy_restart_parse(text, &restart, err);
	case OPT_LEASE:
		return lease_parse(text, &lease, err);
	case OPT_PAIR:
		return strchr(text, '=') > text ? 0 : err_set(err, ERR_INVALID_ARGUMENT, "'%s' is not %s", text, spec->arg);
	default:
		return 0;
	}
}

static int add_value(const struct parser *p, const struct opt_spec *spec, const char *text)
{
	if (text != NULL && check_value(spec, text, p->err) < 0)
		return err_prefix(p->err, "--%s", spec->name);
	struct opts *o = p->opts;
	o->values = xrealloc(o->values, o->count + 1, sizeof(*o->values));
	o->values[o->count++] = (struct opt_value){ .spec = spec, .text = text };
	return 0;
}

static int add_from_next(struct parser *p, const struct opt_spec *spec)
{
	if (p->at + 1 >= p->argc)
		return err_set(p->err, ERR_INVALID_ARGUMENT, "--%s wants an argument: %s", spec->name, spec->arg);
	return add_value(p, spec, p->argv[++p->at]);
}

static int parse_long(struct parser *p, const char *name)
{
	size_t len = strcspn(name, "=");
	const struct opt_spec *spec = find_long(p, name, len);
	if (spec == NULL)
		return -1;
	if (name[len] == '=') {
		if (spec->type == OPT_FLAG)
			return err_set(p->err, ERR_INVALID_ARGUMENT, "--%s takes no argument", spec->name);
		return add_value(p, spec, name + len + 1);
	}
	return takes_argument(spec) ? add_from_next(p, spec) : add_value(p, spec, NULL);
}

static int parse_cluster(struct parser *p, const char *letters)
{
	for (; *letters != '\0'; letters++) {
		const struct opt_spec *spec = find_letter(p, *letters);
		if (spec == NULL)
			return err_set(p->err, ERR_INVALID_ARGUMENT, "unknown option -%c", *letters);
		if (spec->type == OPT_MAY_CHOOSE && letters[1] == '=')
			return add_value(p, spec, letters + 2);
		if (takes_argument(spec))
			return letters[1] != '\0' ? add_value(p, spec, letters + 1) : add_from_next(p, spec);
		if (add_value(p, spec, NULL) < 0)
			return -1;
	}
	return 0;
}

void opt_add_word(struct opts *o, const char *word)
{
	o->args = xrealloc(o->args, o->arg_count + 1, sizeof(*o->args));
	o->args[o->arg_count++] = word;
}

int opt_parse(struct opts *opts, const struct opt_spec *const *tables, int argc, char *const *argv, bool stop, struct err *err)
{
	struct parser p = { .opts = opts, .tables = tables, .argv = argv, .argc = argc, .err = err };
	for (; p.at < argc; p.at++) {
		const char *word = argv[p.at];
		if (strcmp(word, "--") == 0) {
			opts->rest = (const char *const *)argv + p.at + 1;
			opts->rest_count = (size_t)(argc - p.at - 1);
			opts->has_rest = true;
			return argc;
		}
		bool is_word = word[0] != '-' || word[1] == '\0';
		if (is_word && stop)
			return p.at;
		if (is_word)
			opt_add_word(opts, word);
		else if ((word[1] == '-' ? parse_long(&p, word + 2) : parse_cluster(&p, word + 1)) < 0)
			return -1;
	}
	return argc;
}

void opt_fini(struct opts *opts)
{
	free(opts->values);
	free(opts->args);
	*opts = (struct opts)OPTS_INIT;
}

/* ---------------------------------------------------------------- getters */

unsigned opt_count(const struct opts *opts, const char *name)
{
	unsigned count = 0;
	for (size_t i = 0; i < opts->count; i++)
		count += strcmp(opts->values[i].spec->name, name) == 0;
	return count;
}

bool opt_has(const struct opts *opts, const char *name)
{
	return opt_count(opts, name) > 0;
}

const char *opt_nth(const struct opts *opts, const char *name, size_t nth)
{
	for (size_t i = 0; i < opts->count; i++)
		if (strcmp(opts->values[i].spec->name, name) == 0 && nth-- == 0)
			return opts->values[i].text;
	return NULL;
}

const char *opt_text(const struct opts *opts, const char *name)
{
	unsigned count = opt_count(opts, name);
	return count > 0 ? opt_nth(opts, name, count - 1) : NULL;
}

bool opt_is(const struct opts *opts, const char *name, const char *choice)
{
	const char *text = opt_text(opts, name);
	return text != NULL && strcmp(text, choice) == 0;
}

int64_t opt_integer(const struct opts *opts, const char *name, int64_t fallback)
{
	const char *text = opt_text(opts, name);
	int64_t value;
	return text != NULL && value_number(text, INT32_MIN, INT32_MAX, &value, NULL) == 0 ? value : fallback;
}

uint64_t opt_duration_ms(const struct opts *opts, const char *name, uint64_t fallback)
{
	const char *text = opt_text(opts, name);
	uint64_t value;
	return text != NULL && value_duration(text, &value, NULL) == 0 ? value : fallback;
}

bool opt_position(const struct opts *opts, const char *name, Pwemu__V1__Position *out)
{
	const char *text = opt_text(opts, name);
	return text != NULL && value_position(text, out, NULL) == 0;
}
