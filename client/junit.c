/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line is looked at when it is complete. One that is too long is text in pieces: no test has such a name. While a test runs, lines
 * are its output, and from the first that tells of a failure on also the text of its failure; otherwise they are the channel's.
 */
#include "client/junit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/junit_line.h"
#include "client/junit_text.h"
#include "wire/mem.h"

#define LINE_MAX_BYTES 4096
#define MESSAGE_MAX    512
#define CASES_GROW     64

struct channel {
	char *name;
	char line[LINE_MAX_BYTES];
	size_t line_len;
	bool is_piece;   /* of a line whose beginning is gone already */
	char *suite;     /* ztest's; NULL: none */
	char *running;   /* test as it was printed; NULL: none */
	bool is_ztest;   /* the running one */
	bool has_begins; /* ztest has told of tests as they ran, so that its list at the end is nothing new */
	size_t suite_failures;
	uint64_t began_us;
	bool is_failing, wants_more;
	char message[MESSAGE_MAX];
	struct junit_text output, failure, outside;
	char *text; /* `outside`, in the end */
	size_t text_len;
};

/* What is kept of those that went well, and of those that did not. */
struct budget {
	size_t cases, bytes;
};

struct junit {
	struct channel **channels;
	size_t channel_count;
	struct junit_case *cases;
	size_t count, size;
	size_t total[JUNIT_RESULT_COUNT], dropped[JUNIT_RESULT_COUNT];
	struct budget used[2];
};

struct junit *junit_new(void)
{
	return xcalloc(1, sizeof(struct junit));
}

static void channel_free(struct channel *c)
{
	free(c->name);
	free(c->suite);
	free(c->running);
	free(c->text);
	junit_text_fini(&c->output);
	junit_text_fini(&c->failure);
	junit_text_fini(&c->outside);
	free(c);
}

static void case_fini(struct junit_case *c)
{
	free(c->suite);
	free(c->name);
	free(c->message);
	free(c->output);
	free(c->failure);
}

void junit_free(struct junit *junit)
{
	if (junit == NULL)
		return;
	for (size_t i = 0; i < junit->channel_count; i++)
		channel_free(junit->channels[i]);
	for (size_t i = 0; i < junit->count; i++)
		case_fini(&junit->cases[i]);
	free(junit->channels);
	free(junit->cases);
	free(junit);
}

size_t junit_add_channel(struct junit *junit, const char *name)
{
	junit->channels = xrealloc(junit->channels, junit->channel_count + 1, sizeof(*junit->channels));
	junit->channels[junit->channel_count] = xcalloc(1, sizeof(struct channel));
	junit->channels[junit->channel_count]->name = xstrdup(name);
	return junit->channel_count++;
}

/* ---------------------------------------------------------------- cases */

static char *copy(const char *text, size_t len)
{
	char *out = xmalloc(len + 1);
	memcpy(out, text, len);
	out[len] = '\0';
	return out;
}

static bool is_bad(enum junit_result result)
{
	return result == JUNIT_FAILED || result == JUNIT_UNFINISHED;
}

/* Room for one more case; NULL: there are too many. */
static struct junit_case *add_case(struct junit *junit, enum junit_result result)
{
	struct budget *used = &junit->used[is_bad(result)];
	junit->total[result]++;
	if (used->cases == JUNIT_CASES_MAX) {
		junit->dropped[result]++;
		return NULL;
	}
	if (junit->count == junit->size) {
		junit->size = junit->size == 0 ? CASES_GROW : junit->size * 2;
		junit->cases = xrealloc(junit->cases, junit->size, sizeof(*junit->cases));
	}
	used->cases++;
	struct junit_case *c = &junit->cases[junit->count++];
	*c = (struct junit_case){ .result = result };
	return c;
}

static char *take_text(struct junit *junit, enum junit_result result, struct junit_text *text, size_t *len)
{
	struct budget *used = &junit->used[is_bad(result)];
	size_t size = junit_text_size(text);
	char *out = junit_text_take(text, len);
	if (size <= JUNIT_TEXTS_MAX - used->bytes) {
		used->bytes += size;
		return out;
	}
	free(out);
	*len = 0;
	return NULL;
}

static void set_name(struct junit_case *c, const char *suite, const char *name, size_t len, bool is_dotted)
{
	const char *dot = is_dotted ? memchr(name, '.', len) : NULL;
	if (dot != NULL) {
		c->suite = copy(name, (size_t)(dot - name));
		c->name = copy(dot + 1, len - (size_t)(dot + 1 - name));
	} else {
		c->suite = xstrdup(suite != NULL ? suite : "ztest");
		c->name = copy(name, len);
	}
}

static void drop_texts(struct channel *ch)
{
	size_t len;
	free(junit_text_take(&ch->output, &len));
	free(junit_text_take(&ch->failure, &len));
}

/* The test that runs has ended, with the reason where its own lines do not give one. */
static void end_running(struct junit *junit, size_t channel, enum junit_result result, double seconds, const char *reason)
{
	struct channel *ch = junit->channels[channel];
	struct junit_case *c = add_case(junit, result);
	if (c != NULL) {
		bool says_why = result != JUNIT_PASSED && result != JUNIT_UNFINISHED && ch->message[0] != '\0';
		set_name(c, ch->suite, ch->running, strlen(ch->running), !ch->is_ztest);
		c->channel = channel;
		c->seconds = seconds;
		c->message = says_why ? xstrdup(ch->message) : xstrdup(reason);
		c->output = take_text(junit, result, &ch->output, &c->output_len);
		if (result == JUNIT_FAILED)
			c->failure = take_text(junit, result, &ch->failure, &c->failure_len);
	}
	drop_texts(ch);
	free(ch->running);
	ch->running = NULL;
	if (is_bad(result))
		ch->suite_failures++;
}

static double since(const struct channel *ch, uint64_t now_us)
{
	return now_us > ch->began_us ? (double)(now_us - ch->began_us) / 1e6 : 0;
}

static void abandon(struct junit *junit, size_t channel, uint64_t now_us, const char *reason)
{
	if (junit->channels[channel]->running != NULL)
		end_running(junit, channel, JUNIT_UNFINISHED, since(junit->channels[channel], now_us), reason);
}

static void begin(struct junit *junit, size_t channel, const struct junit_line *line, uint64_t now_us)
{
	struct channel *ch = junit->channels[channel];
	abandon(junit, channel, now_us, "it did not end: another test began");
	ch->running = copy(line->name, line->name_len);
	ch->is_ztest = line->is_ztest;
	ch->has_begins |= line->is_ztest;
	ch->began_us = now_us;
	ch->is_failing = ch->wants_more = false;
	ch->message[0] = '\0';
}

/* A case of which only this line is known. */
static void add_lone(struct junit *junit, size_t channel, const struct junit_line *line, enum junit_result result)
{
	struct channel *ch = junit->channels[channel];
	struct junit_case *c = add_case(junit, result);
	if (is_bad(result))
		ch->suite_failures++;
	if (c == NULL)
		return;
	set_name(c, ch->suite, line->name, line->name_len, !line->is_ztest || line->is_summary);
	c->channel = channel;
	c->seconds = line->seconds > 0 ? line->seconds : 0;
}

static void end_suite(struct junit *junit, size_t channel, const struct junit_line *line, uint64_t now_us)
{
	struct channel *ch = junit->channels[channel];
	abandon(junit, channel, now_us, "it did not end: its suite ended");
	struct junit_case *c = NULL;
	if (line->mark == JUNIT_SUITE_FAIL && ch->suite_failures == 0 && ch->has_begins)
		c = add_case(junit, JUNIT_FAILED);
	if (c != NULL) {
		c->suite = copy(line->name, line->name_len);
		c->name = xstrdup("TESTSUITE");
		c->message = xstrdup("the suite failed, none of its tests did");
		c->channel = channel;
	}
	free(ch->suite);
	ch->suite = NULL;
}

/* ---------------------------------------------------------------- lines */

/* No line that begins with blanks or a log's prefix is the worse for being cut. */
static void add_message(struct channel *ch, const char *line, size_t len)
{
	size_t have = strlen(ch->message);
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	const char *nul = memchr(line, '\0', len);
	len = nul != NULL ? (size_t)(nul - line) : len;
	snprintf(ch->message + have, sizeof(ch->message) - have, "%s%.*s", have > 0 ? ": " : "", (int)len, line);
}

static void look_for_reason(struct channel *ch, const char *line, size_t len)
{
	if (ch->wants_more && len > 0) {
		add_message(ch, line, len);
		ch->wants_more = false;
	} else if (!ch->is_failing && junit_line_is_reason(line, len)) {
		ch->is_failing = true;
		ch->wants_more = junit_line_is_place(line, len);
		add_message(ch, line, len);
	}
}

static void add_text(struct channel *ch, const char *bytes, size_t len)
{
	junit_text_add(ch->running != NULL ? &ch->output : &ch->outside, bytes, len);
	if (ch->running != NULL && ch->is_failing)
		junit_text_add(&ch->failure, bytes, len);
}

/* What stands before the mark of an end was printed by the test without a line end. */
static void take_end(struct junit *junit, size_t channel, const char *plain, const struct junit_line *line, uint64_t now_us)
{
	static const enum junit_result results[] = {
		[JUNIT_PASS] = JUNIT_PASSED, [JUNIT_FAIL] = JUNIT_FAILED, [JUNIT_SKIP] = JUNIT_SKIPPED
	};
	struct channel *ch = junit->channels[channel];
	if (ch->running == NULL) {
		if (!line->is_summary || !ch->has_begins)
			add_lone(junit, channel, line, results[line->mark]);
		return;
	}
	if (line->is_summary)
		return;
	if (line->at > 0) {
		look_for_reason(ch, plain, line->at);
		add_text(ch, plain, line->at);
		add_text(ch, "\n", 1);
	}
	end_running(junit, channel, results[line->mark], line->seconds >= 0 ? line->seconds : since(ch, now_us), NULL);
}

static void take_line(struct junit *junit, size_t channel, const char *raw, size_t len, uint64_t now_us)
{
	struct channel *ch = junit->channels[channel];
	char plain[LINE_MAX_BYTES];
	struct junit_line line;
	memcpy(plain, raw, len);
	size_t plain_len = junit_line_strip(plain, len);
	junit_line_read(plain, plain_len, ch->running, &line);
	switch (line.mark) {
	case JUNIT_BEGIN:
		begin(junit, channel, &line, now_us);
		return;
	case JUNIT_PASS:
	case JUNIT_FAIL:
	case JUNIT_SKIP:
		take_end(junit, channel, plain, &line, now_us);
		return;
	case JUNIT_SUITE_BEGIN:
		abandon(junit, channel, now_us, "it did not end: another suite began");
		free(ch->suite);
		ch->suite = copy(line.name, line.name_len);
		ch->suite_failures = 0;
		return;
	case JUNIT_SUITE_END:
	case JUNIT_SUITE_FAIL:
		end_suite(junit, channel, &line, now_us);
		return;
	default:
		look_for_reason(ch, plain, plain_len);
		while (len > 0 && raw[len - 1] == '\r')
			len--;
		add_text(ch, raw, len);
		add_text(ch, "\n", 1);
	}
}

static void end_line(struct junit *junit, size_t channel, uint64_t now_us)
{
	struct channel *ch = junit->channels[channel];
	size_t len = ch->line_len;
	bool is_piece = ch->is_piece;
	ch->line_len = 0;
	ch->is_piece = false;
	if (!is_piece) {
		take_line(junit, channel, ch->line, len, now_us);
		return;
	}
	add_text(ch, ch->line, len);
	add_text(ch, "\n", 1);
}

static void add_to_line(struct channel *ch, const char *bytes, size_t len)
{
	while (len > 0) {
		size_t room = sizeof(ch->line) - ch->line_len, n = len < room ? len : room;
		if (n == 0) {
			add_text(ch, ch->line, ch->line_len);
			ch->line_len = 0;
			ch->is_piece = true;
			continue;
		}
		memcpy(ch->line + ch->line_len, bytes, n);
		ch->line_len += n;
		bytes += n;
		len -= n;
	}
}

void junit_feed(struct junit *junit, size_t channel, const char *bytes, size_t len, uint64_t now_us)
{
	while (len > 0) {
		const char *newline = memchr(bytes, '\n', len);
		size_t n = newline != NULL ? (size_t)(newline - bytes) : len;
		add_to_line(junit->channels[channel], bytes, n);
		if (newline == NULL)
			return;
		end_line(junit, channel, now_us);
		bytes += n + 1;
		len -= n + 1;
	}
}

void junit_finish(struct junit *junit, uint64_t now_us)
{
	for (size_t i = 0; i < junit->channel_count; i++) {
		struct channel *ch = junit->channels[i];
		if (ch->line_len > 0 || ch->is_piece)
			end_line(junit, i, now_us);
		abandon(junit, i, now_us, NULL);
		if (ch->text == NULL)
			ch->text = junit_text_take(&ch->outside, &ch->text_len);
	}
}

/* ---------------------------------------------------------------- what was found */

size_t junit_count(const struct junit *junit)
{
	return junit->count;
}

const struct junit_case *junit_case(const struct junit *junit, size_t index)
{
	return &junit->cases[index];
}

size_t junit_total(const struct junit *junit, enum junit_result result)
{
	return junit->total[result];
}

size_t junit_dropped(const struct junit *junit, enum junit_result result)
{
	return junit->dropped[result];
}

size_t junit_channel_count(const struct junit *junit)
{
	return junit->channel_count;
}

const char *junit_channel_name(const struct junit *junit, size_t channel)
{
	return junit->channels[channel]->name;
}

const char *junit_channel_text(const struct junit *junit, size_t channel, size_t *len)
{
	*len = junit->channels[channel]->text_len;
	return junit->channels[channel]->text;
}
