/* SPDX-License-Identifier: Apache-2.0 */
/* The file of tokens, and attempts that fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "rpc/failures.h"
#include "rpc/tokens.h"

static char path[64];

static int set_up(void **state)
{
	(void)state;
	snprintf(path, sizeof(path), "/tmp/test-tokens-XXXXXX");
	int fd = mkstemp(path);
	close(fd);
	return fd < 0 ? -1 : unlink(path);
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlink(path);
	return 0;
}

static void test_round(void **state)
{
	(void)state;
	struct tokens *tokens = tokens_new(path), *again = tokens_new(path);
	const struct token wanted = { .user = "alice", .uid = 1000, .expires_s = 5000, .note = "for c\xc3\xafi, with 2 words" };
	char first[TOKEN_LEN + 1], second[TOKEN_LEN + 1];
	struct err err = ERR_INIT;
	struct stat st;
	assert_int_equal(tokens_load(tokens, &err), 0); /* there is no file yet */
	assert_int_equal(tokens_add(tokens, &wanted, first, &err), 0);
	assert_int_equal(tokens_add(tokens, &wanted, second, &err), 0);
	assert_int_equal(strlen(first), TOKEN_LEN);
	assert_string_not_equal(first, second);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(tokens_load(again, &err), 0);
	assert_int_equal(tokens_count(again), 2);
	const struct token *found = tokens_check(again, first);
	assert_non_null(found);
	assert_memory_equal(found->id, first, TOKEN_ID_LEN);
	assert_string_equal(found->user, "alice");
	assert_string_equal(found->note, wanted.note);
	assert_int_equal(found->uid, 1000);
	assert_false(token_has_expired(found, 4999));
	assert_true(token_has_expired(found, 5000));
	char id[TOKEN_ID_LEN + 1];
	snprintf(id, sizeof(id), "%s", first);
	assert_int_equal(tokens_remove(again, id, &err), 0);
	assert_null(tokens_check(again, first));
	assert_non_null(tokens_check(again, second));
	assert_int_equal(tokens_remove(again, id, &err), -1);
	assert_string_equal(err.reason, "no-such-token");
	tokens_free(tokens);
	tokens_free(again);
}

/* Every character counts. */
static void test_wrong(void **state)
{
	(void)state;
	struct tokens *tokens = tokens_new(path);
	const struct token wanted = { .user = "alice" };
	char text[TOKEN_LEN + 2];
	struct err err = ERR_INIT;
	assert_int_equal(tokens_add(tokens, &wanted, text, &err), 0);
	assert_non_null(tokens_check(tokens, text));
	for (size_t i = 0; i < TOKEN_LEN; i++) {
		char was = text[i];
		text[i] = was == 'f' ? 'e' : 'f';
		assert_null(tokens_check(tokens, text));
		text[i] = was;
	}
	assert_null(tokens_check(tokens, ""));
	text[TOKEN_LEN - 1] = '\0';
	assert_null(tokens_check(tokens, text));
	tokens_free(tokens);
}

#define HEAD "pwemu-tokens 1\n"
#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define GOOD "aabbccdd\t" HASH "\tbob\t7\t1\t0\t\n"

static void test_parse(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"",
		"pwemu-tokens 2\n",
		HEAD "x\n",
		HEAD "\n" GOOD,
		HEAD GOOD GOOD, /* twice the same id */
		HEAD "aabbccdd\t" HASH "\tbob\t7\t1\t0\n",
		HEAD "aabbccdd\t" HASH "\tbob\t7\t1\t0\t\tmore\n",
		HEAD "aabbccd\t" HASH "\tbob\t7\t1\t0\t\n",
		HEAD "AABBCCDD\t" HASH "\tbob\t7\t1\t0\t\n",
		HEAD "aabbccdd\t" HASH "0\tbob\t7\t1\t0\t\n",
		HEAD "aabbccdd\t" HASH "\t\t7\t1\t0\t\n",
		HEAD "aabbccdd\t" HASH "\tbob\t-7\t1\t0\t\n",
		HEAD "aabbccdd\t" HASH "\tbob\t4294967295\t1\t0\t\n", /* "nobody at all" */
		HEAD "aabbccdd\t" HASH "\tbob\t7\t1\t99999999999999999999\t\n",
		HEAD "aabbccdd\t" HASH "\tbob\t7\t1\t0\t\x1b[2J\n",
	};
	struct tokens *tokens = tokens_new(path);
	struct err err = ERR_INIT;
	assert_int_equal(tokens_parse(tokens, "t", HEAD GOOD, strlen(HEAD GOOD), &err), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(tokens_parse(tokens, "t", bad[i], strlen(bad[i]), &err), -1);
		assert_non_null(strchr(err.msg, 't'));
		assert_int_equal(tokens_count(tokens), 1); /* what was there stays */
	}
	assert_int_equal(tokens_parse(tokens, "t", HEAD "\0", strlen(HEAD) + 1, &err), -1);
	assert_int_equal(tokens_parse(tokens, "t", HEAD, strlen(HEAD), &err), 0);
	assert_int_equal(tokens_count(tokens), 0);
	tokens_free(tokens);
}

static void test_access(void **state)
{
	(void)state;
	struct tokens *tokens = tokens_new(path);
	const struct token wanted = { .user = "alice" };
	char text[TOKEN_LEN + 1];
	struct err err = ERR_INIT;
	assert_int_equal(tokens_add(tokens, &wanted, text, &err), 0);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(tokens_load(tokens, &err), -1);
	assert_non_null(strstr(err.msg, "chmod 600"));
	tokens_free(tokens);
}

static void test_not_stored(void **state)
{
	(void)state;
	struct tokens *tokens = tokens_new("/nowhere/tokens");
	const struct token wanted = { .user = "alice" };
	char text[TOKEN_LEN + 1];
	struct err err = ERR_INIT;
	assert_int_equal(tokens_add(tokens, &wanted, text, &err), -1);
	assert_int_equal(tokens_count(tokens), 0);
	assert_null(tokens_check(tokens, text));
	tokens_free(tokens);
}

static void test_failures(void **state)
{
	(void)state;
	struct failures *failures = failures_new();
	uint64_t unsaid = 0, now_ms = 1000;
	unsigned said = 0;
	for (int i = 0; i < 100; i++)
		said += failures_count(failures, "192.0.2.1:1000", now_ms, &unsaid);
	assert_int_equal(said, 10);
	assert_true(failures_count(failures, "192.0.2.2:1000", now_ms, &unsaid)); /* others are others */
	assert_int_equal(unsaid, 0);
	assert_false(failures_count(failures, "192.0.2.1:999", now_ms, &unsaid)); /* another port is not */
	now_ms += 6000;
	assert_true(failures_count(failures, "192.0.2.1:1", now_ms, &unsaid));
	assert_int_equal(unsaid, 91);
	for (int i = 0; i < 10; i++) {
		char text[64];
		snprintf(text, sizeof(text), "[2001:db8:0:1::%x]:80", i + 1);
		assert_true(failures_count(failures, text, now_ms, &unsaid));
	}
	assert_false(failures_count(failures, "[2001:db8:0:1:f::1]:80", now_ms, &unsaid)); /* the same /64 */
	assert_true(failures_count(failures, "[2001:db8:0:2::1]:80", now_ms, &unsaid));
	for (int i = 0; i < 5000; i++) { /* no more memory than for some */
		char text[64];
		snprintf(text, sizeof(text), "10.0.%d.%d:1", i / 256, i % 256);
		assert_true(failures_count(failures, text, now_ms, &unsaid));
	}
	failures_free(failures);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_parse, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_access, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_stored, set_up, tear_down),
		cmocka_unit_test(test_failures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
