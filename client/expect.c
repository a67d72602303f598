/* SPDX-License-Identifier: Apache-2.0 */
#include "client/expect.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/opt.h"
#include "client/pattern.h"
#include "wire/mem.h"

#define LINE_MAX_BYTES 65536 /* of a longer line the last half is looked at again with what follows */

struct expect_item {
	struct pattern *pattern;
	bool is_fail, seen;
};

struct expect_line {
	char *bytes;
	size_t len;
};

struct expect {
	struct expect_item *items;
	struct expect_line *lines; /* one for each channel */
	size_t item_count, line_count;
	size_t missing; /* --expect patterns that were not seen */
	enum expect_result result;
	const char *decided_by;
	size_t deciding; /* channel */
	bool finished;
};

struct expect *expect_new(void)
{
	return xcalloc(1, sizeof(struct expect));
}

void expect_free(struct expect *expect)
{
	if (expect == NULL)
		return;
	for (size_t i = 0; i < expect->item_count; i++)
		pattern_free(expect->items[i].pattern);
	for (size_t i = 0; i < expect->line_count; i++)
		free(expect->lines[i].bytes);
	free(expect->items);
	free(expect->lines);
	free(expect);
}

int expect_add(struct expect *expect, const char *text, bool is_fail, struct err *err)
{
	struct pattern *pattern;
	if (pattern_new(text, &pattern, err) < 0)
		return -1;
	expect->items = xrealloc(expect->items, expect->item_count + 1, sizeof(*expect->items));
	expect->items[expect->item_count++] = (struct expect_item){ .pattern = pattern, .is_fail = is_fail };
	expect->missing += !is_fail;
	return 0;
}

int expect_from(const struct opts *opts, struct expect **out, struct err *err)
{
	static const char *const options[] = { "expect", "fail" };
	const char *text;
	*out = NULL;
	for (size_t is_fail = 0; is_fail < 2; is_fail++) {
		for (size_t i = 0; (text = opt_nth(opts, options[is_fail], i)) != NULL; i++) {
			if (*out == NULL)
				*out = expect_new();
			if (expect_add(*out, text, is_fail != 0, err) < 0)
				return -1;
		}
	}
	return 0;
}

static int add_each(struct expect **out, char *const *texts, size_t count, bool is_fail, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		if (*out == NULL)
			*out = expect_new();
		if (expect_add(*out, texts[i], is_fail, err) < 0)
			return err_prefix(err, "target: %s", is_fail ? "fail" : "expect");
	}
	return 0;
}

int expect_from_target(const struct opts *opts, const Pwemu__V1__TargetDefaults *defaults, struct expect **out, struct err *err)
{
	if (defaults == NULL)
		return 0;
	if (!opt_has(opts, "expect") && add_each(out, defaults->expect, defaults->n_expect, false, err) < 0)
		return -1;
	return opt_has(opts, "fail") ? 0 : add_each(out, defaults->fail, defaults->n_fail, true, err);
}

size_t expect_add_channel(struct expect *expect)
{
	expect->lines = xrealloc(expect->lines, expect->line_count + 1, sizeof(*expect->lines));
	expect->lines[expect->line_count] = (struct expect_line){ .bytes = xmalloc(LINE_MAX_BYTES) };
	return expect->line_count++;
}

static void decide(struct expect *expect, size_t channel, enum expect_result result, const struct expect_item *item)
{
	expect->result = result;
	expect->decided_by = pattern_text(item->pattern);
	expect->deciding = channel;
}

/* A text that fails beats one that is expected, also when both are in one line. */
static void look_at(struct expect *expect, size_t channel, bool unfinished)
{
	const struct expect_line *line = &expect->lines[channel];
	size_t len = line->len;
	if (!unfinished && len > 0 && line->bytes[len - 1] == '\r')
		len--;
	struct expect_item *last = NULL;
	for (size_t i = 0; i < expect->item_count; i++) {
		struct expect_item *item = &expect->items[i];
		if (item->seen || !pattern_matches(item->pattern, line->bytes, len, unfinished))
			continue;
		if (item->is_fail) {
			decide(expect, channel, EXPECT_FAILED, item);
			return;
		}
		item->seen = true;
		expect->missing--;
		last = item;
	}
	if (last != NULL && expect->missing == 0)
		decide(expect, channel, EXPECT_MET, last);
}

static void append(struct expect *expect, size_t channel, const char *bytes, size_t len)
{
	struct expect_line *line = &expect->lines[channel];
	while (len > 0 && expect->result == EXPECT_OPEN) {
		size_t room = LINE_MAX_BYTES - line->len, n = len < room ? len : room;
		memcpy(line->bytes + line->len, bytes, n);
		line->len += n;
		bytes += n;
		len -= n;
		if (line->len < LINE_MAX_BYTES)
			return;
		look_at(expect, channel, true);
		line->len = LINE_MAX_BYTES / 2;
		memcpy(line->bytes, line->bytes + LINE_MAX_BYTES / 2, line->len);
	}
}

/* One line or a part of it; `ends`: its line feed is there. */
static void feed_line(struct expect *expect, size_t channel, const char *bytes, size_t len, bool ends)
{
	append(expect, channel, bytes, len);
	if (expect->result == EXPECT_OPEN)
		look_at(expect, channel, !ends);
	if (ends)
		expect->lines[channel].len = 0;
	if (ends && expect->result != EXPECT_OPEN)
		expect->finished = true;
}

static size_t rest_of_line(struct expect *expect, size_t channel, const char *bytes, size_t len)
{
	if (expect->finished || channel != expect->deciding)
		return 0;
	const char *newline = memchr(bytes, '\n', len);
	expect->finished = newline != NULL;
	return newline != NULL ? (size_t)(newline - bytes) + 1 : len;
}

size_t expect_feed(struct expect *expect, size_t channel, const char *bytes, size_t len)
{
	size_t done = 0;
	while (done < len) {
		if (expect->result != EXPECT_OPEN)
			return done + (expect->finished ? 0 : rest_of_line(expect, channel, bytes + done, len - done));
		const char *newline = memchr(bytes + done, '\n', len - done);
		size_t n = newline != NULL ? (size_t)(newline - bytes) - done : len - done;
		feed_line(expect, channel, bytes + done, n, newline != NULL);
		done += n + (newline != NULL);
	}
	return done;
}

enum expect_result expect_result(const struct expect *expect)
{
	return expect->result;
}

bool expect_is_finished(const struct expect *expect)
{
	return expect->finished;
}

const char *expect_pattern(const struct expect *expect)
{
	if (expect->decided_by != NULL)
		return expect->decided_by;
	for (size_t i = 0; i < expect->item_count; i++)
		if (!expect->items[i].is_fail && !expect->items[i].seen)
			return pattern_text(expect->items[i].pattern);
	return NULL;
}
