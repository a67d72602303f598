/* SPDX-License-Identifier: Apache-2.0 */
#include "emulator_script.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void script_reject(const char *key, const char *value)
{
	fprintf(stderr, "qemu-fake: FAKE_EMULATOR: \"%s=%s\" is not understood\n", key, value);
	exit(1); /* as QEMU does */
}

static uint64_t script_number(const char *key, const char *text, bool is_time)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);
	if (end == text)
		script_reject(key, text);
	if (is_time && strcmp(end, "s") == 0)
		return value * 1000;
	if (*end != '\0' && !(is_time && strcmp(end, "ms") == 0))
		script_reject(key, text);
	return value;
}

/* A word of a table, with ":AMOUNT" behind it where the table says so. */
struct word {
	const char *name;
	int value;
	enum { AMOUNT_NONE, AMOUNT_TIME, AMOUNT_COUNT } amount;
};

static int script_word(const char *key, const char *text, const struct word *words, uint64_t *amount)
{
	size_t len = strcspn(text, ":");
	for (; words->name != NULL; words++) {
		if (strncmp(words->name, text, len) != 0 || words->name[len] != '\0')
			continue;
		if ((words->amount != AMOUNT_NONE) != (text[len] == ':'))
			break;
		if (words->amount != AMOUNT_NONE)
			*amount = script_number(key, text + len + 1, words->amount == AMOUNT_TIME);
		return words->value;
	}
	script_reject(key, text);
}

static const struct word greetings[] = {
	{ "right", GREETING_RIGHT, AMOUNT_NONE },
	{ "wrong", GREETING_WRONG, AMOUNT_NONE },
	{ "none", GREETING_NONE, AMOUNT_NONE },
	{ "slow", GREETING_SLOW, AMOUNT_TIME },
	{ NULL, 0, AMOUNT_NONE },
};
static const struct word outputs[] = {
	{ "line", OUTPUT_LINE, AMOUNT_NONE },
	{ "none", OUTPUT_NONE, AMOUNT_NONE },
	{ "slow", OUTPUT_SLOW, AMOUNT_TIME },
	{ "burst", OUTPUT_BURST, AMOUNT_COUNT },
	{ "flood", OUTPUT_FLOOD, AMOUNT_NONE },
	{ "echo", OUTPUT_ECHO, AMOUNT_NONE },
	{ NULL, 0, AMOUNT_NONE },
};
static const struct word crashes[] = {
	{ "at-start", CRASH_AT_START, AMOUNT_NONE },
	{ "before-greeting", CRASH_BEFORE_GREETING, AMOUNT_NONE },
	{ "on-cont", CRASH_ON_CONT, AMOUNT_NONE },
	{ "after", CRASH_AFTER, AMOUNT_TIME },
	{ NULL, 0, AMOUNT_NONE },
};
static const struct word signals[] = {
	{ "SEGV", SIGSEGV, AMOUNT_NONE }, { "ABRT", SIGABRT, AMOUNT_NONE }, { "KILL", SIGKILL, AMOUNT_NONE },
	{ "TERM", SIGTERM, AMOUNT_NONE }, { "BUS", SIGBUS, AMOUNT_NONE },   { "SYS", SIGSYS, AMOUNT_NONE },
	{ NULL, 0, AMOUNT_NONE },
};

static void set_greeting(struct script *s, const char *key, const char *value)
{
	s->greeting = (enum greeting)script_word(key, value, greetings, &s->greeting_ms);
}

static void set_output(struct script *s, const char *key, const char *value)
{
	s->output = (enum output)script_word(key, value, outputs, &s->output_amount);
}

static void set_crash(struct script *s, const char *key, const char *value)
{
	s->crash = (enum crash)script_word(key, value, crashes, &s->crash_ms);
}

static void set_signal(struct script *s, const char *key, const char *value)
{
	uint64_t none;
	s->signal = script_word(key, value, signals, &none);
}

static void set_exit(struct script *s, const char *key, const char *value)
{
	s->signal = 0;
	s->code = (int)script_number(key, value, false);
}

static void set_silent(struct script *s, const char *key, const char *value)
{
	s->silent_ms = script_number(key, value, true);
}

static void set_hang(struct script *s, const char *key, const char *value)
{
	s->hang_ms = script_number(key, value, true);
}

static void set_no_answer(struct script *s, const char *key, const char *value)
{
	s->no_answer_ms = script_number(key, value, true);
}

static void set_ignore_term(struct script *s, const char *key, const char *value)
{
	(void)key, (void)value;
	s->ignores_term = true;
}

static void set_helpers(struct script *s, const char *key, const char *value)
{
	s->helpers = (unsigned)script_number(key, value, false);
}

static void set_hang_up(struct script *s, const char *key, const char *value)
{
	s->hang_up = (unsigned)script_number(key, value, false);
}

static void set_bomb(struct script *s, const char *key, const char *value)
{
	s->bomb = (unsigned)script_number(key, value, false);
}

static void set_shutdown(struct script *s, const char *key, const char *value)
{
	(void)key;
	s->shutdown = value;
}

static void set_message(struct script *s, const char *key, const char *value)
{
	(void)key;
	s->message = value;
}

static void set_boots(struct script *s, const char *key, const char *value)
{
	(void)key;
	s->boots = value;
}

static void set_faulty(struct script *s, const char *key, const char *value)
{
	s->faulty = (unsigned)script_number(key, value, false);
}

static const struct {
	const char *key;
	void (*set)(struct script *script, const char *key, const char *value);
} keys[] = {
	{ "greeting", set_greeting },
	{ "output", set_output },
	{ "silent-after", set_silent },
	{ "hang-after", set_hang },
	{ "no-answer-after", set_no_answer },
	{ "hang-up", set_hang_up },
	{ "crash", set_crash },
	{ "signal", set_signal },
	{ "exit", set_exit },
	{ "shutdown", set_shutdown },
	{ "message", set_message },
	{ "ignore-term", set_ignore_term },
	{ "helpers", set_helpers },
	{ "fork-bomb", set_bomb },
	{ "boots", set_boots },
	{ "faulty", set_faulty },
};

static void script_set(struct script *script, const char *key, const char *value)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(keys[i].key, key) == 0) {
			keys[i].set(script, key, value);
			return;
		}
	}
	script_reject(key, value);
}

static void script_parse(struct script *script, char *text)
{
	for (char *word; (word = strsep(&text, ";")) != NULL;) {
		word += strspn(word, " ");
		char *equals = strchr(word, '=');
		if (equals != NULL)
			*equals = '\0';
		if (*word != '\0')
			script_set(script, word, equals != NULL ? equals + 1 : "");
	}
}

/* One byte a start: the file's length is the number of this one. */
static unsigned script_count(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	off_t end = fd >= 0 && write(fd, ".", 1) == 1 ? lseek(fd, 0, SEEK_CUR) : 0;
	if (fd >= 0)
		close(fd);
	return (unsigned)end;
}

static void script_right(struct script *script)
{
	*script = (struct script){ .silent_ms = SCRIPT_NEVER, .hang_ms = SCRIPT_NEVER, .no_answer_ms = SCRIPT_NEVER, .signal = SIGSEGV };
}

void script_read(struct script *script)
{
	const char *text = getenv("FAKE_EMULATOR");
	script_right(script);
	if (text != NULL)
		script_parse(script, strdup(text));
	if (script->boots == NULL)
		return;
	unsigned boot = script_count(script->boots);
	if (script->faulty > 0 && boot > script->faulty)
		script_right(script);
}
