/* SPDX-License-Identifier: Apache-2.0 */
#include "client/junit_line.h"

#include <ctype.h>
#include <string.h>

#define DIGITS_MAX 9

struct text {
	const char *at;
	size_t len;
};

static bool skip(struct text *text, const char *word)
{
	size_t len = strlen(word);
	if (text->len < len || memcmp(text->at, word, len) != 0)
		return false;
	text->at += len;
	text->len -= len;
	return true;
}

static bool is_name_byte(unsigned char c)
{
	return c > ' ' && c != 0x7f;
}

static size_t name_length(struct text text, bool (*is_part)(unsigned char c))
{
	size_t n = 0;
	while (n < text.len && is_part((unsigned char)text.at[n]))
		n++;
	return n;
}

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

/* Digits, perhaps a point and digits. */
static bool skip_number(struct text *text, double *value)
{
	double unit = 1;
	size_t digits = name_length(*text, is_digit);
	if (digits == 0 || digits > DIGITS_MAX)
		return false;
	for (*value = 0; digits > 0; digits--, text->at++, text->len--)
		*value = *value * 10 + (*text->at - '0');
	if (!skip(text, "."))
		return true;
	digits = name_length(*text, is_digit);
	if (digits == 0 || digits > DIGITS_MAX)
		return false;
	for (; digits > 0; digits--, text->at++, text->len--)
		*value += (*text->at - '0') * (unit /= 10);
	return true;
}

static bool is_running(const struct junit_line *line, const char *running)
{
	return running != NULL && strlen(running) == line->name_len && memcmp(running, line->name, line->name_len) == 0;
}

/* ---------------------------------------------------------------- GoogleTest, pw_unit_test */

static bool is_gtest_byte(unsigned char c)
{
	return is_name_byte(c) && c != ',';
}

/* " (3 ms)" at the end. */
static double gtest_seconds(struct text *rest)
{
	double ms;
	const char *open = memrchr(rest->at, '(', rest->len);
	if (open == NULL || open == rest->at || open[-1] != ' ')
		return -1;
	struct text time = { open + 1, rest->len - (size_t)(open + 1 - rest->at) };
	if (!skip_number(&time, &ms) || !skip(&time, " ms)") || time.len != 0)
		return -1;
	rest->len = (size_t)(open - 1 - rest->at);
	return ms / 1000;
}

static bool read_gtest_rest(struct text rest, struct junit_line *out)
{
	out->name = rest.at;
	out->name_len = name_length(rest, is_gtest_byte);
	const char *dot = memchr(out->name, '.', out->name_len);
	if (out->name_len > JUNIT_NAME_MAX || dot == NULL || dot == out->name || dot + 1 == out->name + out->name_len)
		return false;
	rest.at += out->name_len;
	rest.len -= out->name_len;
	out->seconds = gtest_seconds(&rest);
	while (rest.len > 0 && rest.at[rest.len - 1] == ' ')
		rest.len--;
	return rest.len == 0 || (out->mark != JUNIT_BEGIN && skip(&rest, ", where "));
}

/* An end without its begin: GoogleTest has the time there, and not in its list of what failed. */
static bool accept_gtest(const struct junit_line *line, const char *running)
{
	return line->mark == JUNIT_BEGIN || is_running(line, running) || (running == NULL && line->at == 0 && line->seconds >= 0);
}

static bool read_gtest(const char *line, size_t len, const char *running, struct junit_line *out)
{
	static const struct {
		const char *text;
		enum junit_mark mark;
	} marks[] = {
		{ "[ RUN      ] ", JUNIT_BEGIN }, { "[       OK ] ", JUNIT_PASS }, { "[  FAILED  ] ", JUNIT_FAIL },
		{ "[  SKIPPED ] ", JUNIT_SKIP },  { "[ DISABLED ] ", JUNIT_SKIP },
	};
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		const char *at = memmem(line, len, marks[i].text, strlen(marks[i].text));
		if (at == NULL)
			continue;
		struct text rest = { at, len - (size_t)(at - line) };
		skip(&rest, marks[i].text);
		*out = (struct junit_line){ .mark = marks[i].mark, .at = (size_t)(at - line) };
		if (read_gtest_rest(rest, out) && accept_gtest(out, running))
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------- ztest */

static bool is_ztest_byte(unsigned char c)
{
	return isalnum(c) || c == '_';
}

static bool is_summary_byte(unsigned char c)
{
	return is_name_byte(c) && c != ']';
}

static bool skip_name(struct text *text, bool (*is_part)(unsigned char c), struct junit_line *out)
{
	out->name = text->at;
	out->name_len = name_length(*text, is_part);
	text->at += out->name_len;
	text->len -= out->name_len;
	return out->name_len > 0 && out->name_len <= JUNIT_NAME_MAX;
}

static void trim_end(struct text *text)
{
	while (text->len > 0 && text->at[text->len - 1] == ' ')
		text->len--;
}

static const struct {
	const char *text;
	enum junit_mark mark;
} ztest_ends[] = {
	{ "PASS - ", JUNIT_PASS },
	{ "FAIL - ", JUNIT_FAIL },
	{ "SKIP - ", JUNIT_SKIP },
};
#define ZTEST_ENDS (sizeof(ztest_ends) / sizeof(ztest_ends[0]))

/* "Running TESTSUITE x", "TESTSUITE x succeeded", "TESTSUITE x failed." */
static bool read_ztest_suite(struct text line, struct junit_line *out)
{
	trim_end(&line);
	if (skip(&line, "Running TESTSUITE ") || skip(&line, "Running test suite ")) {
		out->mark = JUNIT_SUITE_BEGIN;
		return skip_name(&line, is_name_byte, out) && line.len == 0;
	}
	if ((!skip(&line, "TESTSUITE ") && !skip(&line, "Test suite ")) || !skip_name(&line, is_name_byte, out))
		return false;
	bool is_good = skip(&line, " succeeded");
	out->mark = is_good ? JUNIT_SUITE_END : JUNIT_SUITE_FAIL;
	if (!is_good && !skip(&line, " failed"))
		return false;
	skip(&line, ".");
	return line.len == 0;
}

static bool read_ztest_begin(struct text line, struct junit_line *out)
{
	trim_end(&line);
	out->mark = JUNIT_BEGIN;
	return (skip(&line, "START - ") || skip(&line, "starting test - ")) && skip_name(&line, is_ztest_byte, out) && line.len == 0;
}

/* " - PASS - [suite.test] duration = 0.001 seconds" */
static bool read_ztest_summary(struct text line, struct junit_line *out)
{
	trim_end(&line);
	out->is_summary = true;
	if (!skip(&line, " - "))
		return false;
	for (size_t i = 0; i < ZTEST_ENDS; i++) {
		if (!skip(&line, ztest_ends[i].text))
			continue;
		out->mark = ztest_ends[i].mark;
		return skip(&line, "[") && skip_name(&line, is_summary_byte, out) && memchr(out->name, '.', out->name_len) != NULL &&
		       skip(&line, "] duration = ") && skip_number(&line, &out->seconds) && skip(&line, " seconds") && line.len == 0;
	}
	return false;
}

/* What follows the mark of an end: "test in 0.001 seconds", "test." or "test". */
static bool read_ztest_rest(struct text rest, struct junit_line *out)
{
	trim_end(&rest);
	out->seconds = -1;
	if (!skip_name(&rest, is_ztest_byte, out))
		return false;
	if (skip(&rest, " in "))
		return skip_number(&rest, &out->seconds) && skip(&rest, " seconds") && rest.len == 0;
	skip(&rest, ".");
	return rest.len == 0;
}

static bool read_ztest_end(struct text line, const char *running, struct junit_line *out)
{
	for (size_t i = 0; i < ZTEST_ENDS; i++) {
		const char *at = memmem(line.at, line.len, ztest_ends[i].text, strlen(ztest_ends[i].text));
		if (at == NULL)
			continue;
		struct text rest = { at, line.len - (size_t)(at - line.at) };
		skip(&rest, ztest_ends[i].text);
		out->mark = ztest_ends[i].mark;
		out->at = (size_t)(at - line.at);
		if (out->at > 0 && at[-1] == ' ')
			out->at--;
		if (read_ztest_rest(rest, out) && (is_running(out, running) || (running == NULL && out->at == 0 && out->seconds >= 0)))
			return true;
	}
	return false;
}

static bool read_ztest(const char *line, size_t len, const char *running, struct junit_line *out)
{
	const struct junit_line fresh = { .is_ztest = true, .seconds = -1 };
	const struct text text = { line, len };
	*out = fresh;
	if (read_ztest_begin(text, out))
		return true;
	*out = fresh;
	if (read_ztest_suite(text, out))
		return true;
	*out = fresh;
	if (read_ztest_summary(text, out))
		return true;
	*out = fresh;
	return read_ztest_end(text, running, out);
}

void junit_line_read(const char *line, size_t len, const char *running, struct junit_line *out)
{
	if (!read_gtest(line, len, running, out) && !read_ztest(line, len, running, out))
		*out = (struct junit_line){ .mark = JUNIT_TEXT, .seconds = -1 };
}

/* ---------------------------------------------------------------- other lines */

size_t junit_line_strip(char *line, size_t len)
{
	size_t to = 0;
	for (size_t i = 0; i < len;) {
		size_t end = i + 2;
		while (i + 1 < len && line[i] == 0x1b && line[i + 1] == '[' && end < len && line[end] >= 0x20 && line[end] < 0x40)
			end++;
		if (i + 1 < len && line[i] == 0x1b && line[i + 1] == '[' && end < len && line[end] >= 0x40 && line[end] < 0x7f)
			i = end + 1;
		else
			line[to++] = line[i++];
	}
	while (to > 0 && line[to - 1] == '\r')
		to--;
	return to;
}

bool junit_line_is_place(const char *line, size_t len)
{
	static const char *const ends[] = { ": Failure", ": Skipped" };
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		size_t n = strlen(ends[i]);
		if (len > n && memcmp(line + len - n, ends[i], n) == 0)
			return true;
	}
	return false;
}

bool junit_line_is_reason(const char *line, size_t len)
{
	static const char *const words[] = { "Assertion failed at ", "Assumption failed at ", "FATAL ERROR" };
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (memmem(line, len, words[i], strlen(words[i])) != NULL)
			return true;
	return junit_line_is_place(line, len);
}
