/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libpcre2-8 is opened at run time: whoever uses no pattern neither loads nor needs it. Its ABI has been stable since 10.0; the few
 * declarations needed are here, so that building needs no header either.
 */
#include "client/pattern.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/say.h"
#include "wire/mem.h"

#define LIBRARY          "libpcre2-8.so.0"
#define ZERO_TERMINATED  (~(size_t)0)
#define NOTEOL           0x00000002u
#define ERROR_NOMATCH    (-1)
#define ERROR_MATCHLIMIT (-47)
#define ERROR_DEPTHLIMIT (-53)
#define ERROR_HEAPLIMIT  (-63)
#define MATCH_LIMIT      1000000
#define DEPTH_LIMIT      10000

static struct {
	void *handle;
	void *(*compile)(const uint8_t *text, size_t len, uint32_t options, int *error, size_t *offset, void *context);
	void (*code_free)(void *code);
	void *(*data_create)(const void *code, void *context);
	void (*data_free)(void *data);
	void *(*context_create)(void *context);
	void (*context_free)(void *context);
	int (*set_match_limit)(void *context, uint32_t limit);
	int (*set_depth_limit)(void *context, uint32_t limit);
	int (*match)(const void *code, const uint8_t *subject, size_t len, size_t start, uint32_t options, void *data, void *context);
	int (*error_message)(int error, uint8_t *text, size_t size);
} pcre;

struct pattern {
	char *text;
	void *code, *data, *context;
	bool given_up; /* said once */
};

static int load(struct err *err)
{
	static const struct {
		const char *name;
		void *to; /* a function pointer of `pcre` */
	} symbols[] = {
		{ "pcre2_compile_8", &pcre.compile },
		{ "pcre2_code_free_8", &pcre.code_free },
		{ "pcre2_match_data_create_from_pattern_8", &pcre.data_create },
		{ "pcre2_match_data_free_8", &pcre.data_free },
		{ "pcre2_match_context_create_8", &pcre.context_create },
		{ "pcre2_match_context_free_8", &pcre.context_free },
		{ "pcre2_set_match_limit_8", &pcre.set_match_limit },
		{ "pcre2_set_depth_limit_8", &pcre.set_depth_limit },
		{ "pcre2_match_8", &pcre.match },
		{ "pcre2_get_error_message_8", &pcre.error_message },
	};
	if (pcre.handle != NULL)
		return 0;
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (handle == NULL)
		return err_set(err, ERR_UNAVAILABLE, "patterns need %s (Debian: apt-get install libpcre2-8-0)", LIBRARY);
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		void *symbol = dlsym(handle, symbols[i].name);
		if (symbol == NULL) {
			dlclose(handle);
			return err_set(err, ERR_UNAVAILABLE, "%s has no %s", LIBRARY, symbols[i].name);
		}
		memcpy(symbols[i].to, &symbol, sizeof(symbol));
	}
	pcre.handle = handle;
	return 0;
}

int pattern_new(const char *text, struct pattern **out, struct err *err)
{
	int error = 0;
	size_t offset = 0;
	if (load(err) < 0)
		return -1;
	void *code = pcre.compile((const uint8_t *)text, ZERO_TERMINATED, 0, &error, &offset, NULL);
	if (code == NULL) {
		uint8_t why[160] = "";
		pcre.error_message(error, why, sizeof(why));
		return err_set(err, ERR_INVALID_ARGUMENT, "pattern '%s': %s at character %zu", text, (const char *)why, offset + 1);
	}
	struct pattern *pattern = xcalloc(1, sizeof(*pattern));
	pattern->text = xstrdup(text);
	pattern->code = code;
	pattern->data = pcre.data_create(code, NULL);
	pattern->context = pcre.context_create(NULL);
	pcre.set_match_limit(pattern->context, MATCH_LIMIT);
	pcre.set_depth_limit(pattern->context, DEPTH_LIMIT);
	*out = pattern;
	return 0;
}

void pattern_free(struct pattern *pattern)
{
	if (pattern == NULL)
		return;
	pcre.context_free(pattern->context);
	pcre.data_free(pattern->data);
	pcre.code_free(pattern->code);
	free(pattern->text);
	free(pattern);
}

const char *pattern_text(const struct pattern *pattern)
{
	return pattern->text;
}

bool pattern_matches(struct pattern *pattern, const char *line, size_t len, bool unfinished)
{
	int result = pcre.match(pattern->code, (const uint8_t *)line, len, 0, unfinished ? NOTEOL : 0, pattern->data, pattern->context);
	bool is_limit = result == ERROR_MATCHLIMIT || result == ERROR_DEPTHLIMIT || result == ERROR_HEAPLIMIT;
	if (is_limit && !pattern->given_up) {
		pattern->given_up = true;
		say_error("pattern '%s' takes too much work on some line; it was given up there", pattern->text);
	}
	return result >= 0;
}
