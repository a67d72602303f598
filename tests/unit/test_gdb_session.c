/* SPDX-License-Identifier: Apache-2.0 */
/* A debugger's session: what passes, what is answered by itself, what is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "driver/gdb_session.h"

struct ends {
	struct gdb_session *session;
	char debugger[512], stub[512];
	unsigned cleans;
};

static void add(char *to, const void *bytes, size_t len)
{
	strncat(to, bytes, len);
}

static void to_debugger(void *ctx, const void *bytes, size_t len)
{
	add(((struct ends *)ctx)->debugger, bytes, len);
}

static void to_stub(void *ctx, const void *bytes, size_t len)
{
	add(((struct ends *)ctx)->stub, bytes, len);
}

static void on_clean(void *ctx)
{
	((struct ends *)ctx)->cleans++;
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static bool on_wanted(void *ctx)
{
	(void)ctx;
	return false;
}

static void open_session(struct ends *e)
{
	static const struct gdb_dialect dialect = { .reset = "r" };
	static const struct gdb_session_ops ops = { to_debugger, to_stub, on_clean, on_wanted, NULL, nothing };
	memset(e, 0, sizeof(*e));
	e->session = gdb_session_new(&dialect, &ops, e);
	gdb_session_begin(e->session);
	gdb_session_attach(e->session);
}

#define FROM_STUB(e, text)     gdb_session_from_stub((e)->session, text, strlen(text))
#define FROM_DEBUGGER(e, text) gdb_session_from_debugger((e)->session, text, strlen(text))

/* The stop that the connection was is not the answer to anything. */
static void test_passes(void **state)
{
	(void)state;
	struct ends e;
	open_session(&e);
	FROM_DEBUGGER(&e, "+$g#67");
	FROM_STUB(&e, "$T02#b6+$1234#ca");
	assert_string_equal(e.debugger, "+$1234#ca");
	assert_string_equal(e.stub, "$g#67++");
	gdb_session_free(e.session);
}

static void test_leaving_cleans(void **state)
{
	(void)state;
	struct ends e;
	open_session(&e);
	FROM_DEBUGGER(&e, "$c#63");
	FROM_STUB(&e, "+");
	gdb_session_leave(e.session);
	assert_string_equal(e.stub, "$c#63\x03");
	FROM_STUB(&e, "$T02#b6");
	assert_int_equal(e.cleans, 0);
	FROM_STUB(&e, "+$T05#b9");
	assert_int_equal(e.cleans, 1);
	assert_string_equal(e.stub, "$c#63\x03+$?#3f"); /* the last answer is not acknowledged */
	gdb_session_free(e.session);
}

static void test_detach_is_answered_when_all_is_restored(void **state)
{
	(void)state;
	struct ends e;
	open_session(&e);
	FROM_DEBUGGER(&e, "$D;1#b0");
	assert_string_equal(e.stub, "$?#3f");
	FROM_STUB(&e, "+$T05#b9");
	assert_string_equal(e.debugger, "+");
	gdb_session_restored(e.session);
	assert_string_equal(e.debugger, "+$OK#9a");
	gdb_session_free(e.session);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_passes), cmocka_unit_test(test_leaving_cleans),
					    cmocka_unit_test(test_detach_is_answered_when_all_is_restored) };
	return cmocka_run_group_tests_name("gdb_session", tests, NULL, NULL);
}
