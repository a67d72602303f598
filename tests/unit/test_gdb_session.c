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
	char debugger[512], stub[512], runs[32];
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

static void on_runs(void *ctx, bool runs)
{
	struct ends *e = ctx;
	e->runs[strlen(e->runs)] = runs ? 'r' : 's';
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

static void open_as(struct ends *e, const struct gdb_dialect *dialect)
{
	static const struct gdb_session_ops ops = { to_debugger, to_stub, on_clean, on_wanted, on_runs, nothing };
	memset(e, 0, sizeof(*e));
	e->session = gdb_session_new(dialect, &ops, e);
	gdb_session_begin(e->session);
	gdb_session_attach(e->session);
}

static void open_session(struct ends *e)
{
	static const struct gdb_dialect dialect = { .reset = "r" };
	open_as(e, &dialect);
}

/* One like Renode's. */
static void open_keeping(struct ends *e)
{
	static const struct gdb_dialect dialect = { .reset = "r", .keeps_breakpoints = true, .is_silent = true };
	open_as(e, &dialect);
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

/* A packet of the debugger's, passed on and answered. */
static void set_break(struct ends *e, const char *packet, const char *answer)
{
	e->stub[0] = e->debugger[0] = '\0';
	FROM_DEBUGGER(e, packet);
	assert_string_equal(e->stub, packet);
	FROM_STUB(e, "+");
	FROM_STUB(e, answer);
	e->stub[0] = e->debugger[0] = '\0';
}

/* Each that is set is removed, one at a time, in whatever order; what the debugger has removed itself is not, conditions do not count. */
static void test_kept_breakpoints(void **state)
{
	(void)state;
	struct ends e;
	open_keeping(&e);
	set_break(&e, "$Z0,100,2#a5", "$OK#9a");
	set_break(&e, "$Z1,200,2;X1,22#fb", "$OK#9a");
	set_break(&e, "$Z0,100,2#a5", "$OK#9a"); /* once more: gdb does so */
	set_break(&e, "$Z2,300,4#ab", "$E01#a6");
	set_break(&e, "$z2,300,4#cb", "$OK#9a");
	gdb_session_leave(e.session);
	assert_string_equal(e.stub, "$z0,100,2#c5");
	FROM_STUB(&e, "+$OK#9a");
	assert_string_equal(e.stub, "$z0,100,2#c5+$z1,200,2#c7");
	assert_string_equal(e.debugger, ""); /* nobody there to hear of it */
	FROM_STUB(&e, "+$E01#a6");           /* none was there: no reason to ask again */
	assert_string_equal(e.stub, "$z0,100,2#c5+$z1,200,2#c7+$?#3f");
	assert_int_equal(e.cleans, 0);
	FROM_STUB(&e, "+$T05#b9");
	assert_int_equal(e.cleans, 1);
	gdb_session_free(e.session);
}

/* The next debugger's session does not remove what the one before has set. */
static void test_breakpoints_are_forgotten(void **state)
{
	(void)state;
	struct ends e;
	open_keeping(&e);
	set_break(&e, "$Z0,100,2#a5", "$OK#9a");
	gdb_session_lost(e.session);
	gdb_session_begin(e.session);
	gdb_session_attach(e.session);
	gdb_session_leave(e.session);
	assert_string_equal(e.stub, "$?#3f");
	gdb_session_free(e.session);
	open_session(&e); /* where the stub forgets by itself */
	set_break(&e, "$Z0,100,2#a5", "$OK#9a");
	gdb_session_leave(e.session);
	assert_string_equal(e.stub, "$?#3f");
	gdb_session_free(e.session);
}

/* A guest that runs is stopped first; a detach is answered after the last breakpoint. */
static void test_kept_breakpoints_of_a_running_guest(void **state)
{
	(void)state;
	struct ends e;
	open_keeping(&e);
	set_break(&e, "$Z0,100,2#a5", "$OK#9a");
	FROM_DEBUGGER(&e, "$c#63");
	FROM_STUB(&e, "+");
	gdb_session_leave(e.session);
	assert_string_equal(e.stub, "$c#63\x03");
	FROM_STUB(&e, "$T02#b6");
	assert_string_equal(e.stub, "$c#63\x03+$z0,100,2#c5");
	gdb_session_free(e.session);
	open_keeping(&e);
	set_break(&e, "$Z0,100,2#a5", "$OK#9a");
	FROM_DEBUGGER(&e, "$D;1#b0");
	assert_string_equal(e.stub, "$z0,100,2#c5");
	FROM_STUB(&e, "+$OK#9a+$T05#b9");
	assert_string_equal(e.debugger, "+");
	gdb_session_restored(e.session);
	assert_string_equal(e.debugger, "+$OK#9a");
	gdb_session_free(e.session);
}

/* What the emulator does not say of itself. */
static void test_tells_runs(void **state)
{
	(void)state;
	struct ends e;
	open_keeping(&e);
	assert_string_equal(e.runs, "s"); /* to be connected stops it */
	FROM_DEBUGGER(&e, "$g#67");
	FROM_STUB(&e, "+$12#63");
	assert_string_equal(e.runs, "s");
	FROM_DEBUGGER(&e, "$c#63");
	assert_string_equal(e.runs, "sr");
	FROM_STUB(&e, "+$T05#b9");
	assert_string_equal(e.runs, "srs");
	assert_true(gdb_session_resume(e.session));
	assert_string_equal(e.runs, "srsr");
	FROM_STUB(&e, "+");
	FROM_DEBUGGER(&e, "$g#67"); /* the moment that a packet takes is none */
	FROM_STUB(&e, "$T02#b6+$12#63");
	assert_string_equal(e.runs, "srsr");
	assert_true(gdb_session_pause(e.session));
	FROM_STUB(&e, "+$T02#b6");
	assert_string_equal(e.runs, "srsrs");
	gdb_session_lost(e.session);
	assert_false(gdb_session_pause(e.session));
	assert_string_equal(e.runs, "srsrs");
	gdb_session_free(e.session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passes),
		cmocka_unit_test(test_leaving_cleans),
		cmocka_unit_test(test_detach_is_answered_when_all_is_restored),
		cmocka_unit_test(test_kept_breakpoints),
		cmocka_unit_test(test_breakpoints_are_forgotten),
		cmocka_unit_test(test_kept_breakpoints_of_a_running_guest),
		cmocka_unit_test(test_tells_runs),
	};
	return cmocka_run_group_tests_name("gdb_session", tests, NULL, NULL);
}
