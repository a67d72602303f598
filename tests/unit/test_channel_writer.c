/* SPDX-License-Identifier: Apache-2.0 */
/* The writer: who has the role, what the FIFO takes, and waking an emulator that does not look for its input. */
#include "test_channel.h"

struct party {
	struct writer *writer;
	unsigned roles;
	bool has_role;
	char reason[200];
	unsigned writables;
	bool close_when_told;
};

static void party_on_writable(void *ctx)
{
	((struct party *)ctx)->writables++;
}

static void party_on_role(void *ctx, bool has_role, const char *reason)
{
	struct party *p = ctx;
	p->roles++;
	p->has_role = has_role;
	snprintf(p->reason, sizeof(p->reason), "%s", reason);
	if (p->close_when_told) {
		writer_close(p->writer);
		p->writer = NULL;
	}
}

static const struct writer_ops party_ops = { party_on_writable, party_on_role };

static void party_open(struct party *p, struct fixture *f, const char *name, bool steal)
{
	struct err err = ERR_INIT;
	if (writer_open(f->hub, name, steal, &party_ops, p, &p->writer, &err) != 0)
		fail_msg("%s", err.msg);
}

static void assert_guest_reads(struct fixture *f, const char *text)
{
	char buf[256] = "";
	assert_int_equal(read(f->guest_in, buf, sizeof(buf) - 1), (ssize_t)strlen(text));
	assert_string_equal(buf, text);
}

static void test_role_hand_over(void **state)
{
	struct fixture *f = *state;
	struct party a = { 0 }, b = { 0 }, c = { 0 };
	fixture_boot(f, 1, true);
	assert_null(writer_holder(f->hub));
	party_open(&a, f, "term of alice", false);
	party_open(&b, f, "term of bob", false);
	party_open(&c, f, "term of carol", false);
	assert_true(writer_has_role(a.writer));
	assert_false(writer_has_role(b.writer));
	assert_true(hub_has_writer(f->hub));
	assert_string_equal(writer_holder(f->hub), "term of alice");
	assert_int_equal(writer_write(b.writer, "no", 2), -1);
	assert_int_equal(writer_write(a.writer, "yes", 3), 3);
	assert_guest_reads(f, "yes");
	LOOP_UNTIL(f, f->writer_changes == 1);
	assert_int_equal(a.roles + b.roles + c.roles, 0); /* they asked when they opened */
	writer_close(a.writer);
	assert_true(writer_has_role(b.writer));
	assert_int_equal(b.roles, 0); /* told from the loop */
	LOOP_UNTIL(f, b.roles == 1);
	assert_true(b.has_role);
	assert_string_equal(b.reason, "term of alice has left");
	assert_int_equal(f->writer_changes, 2);
	writer_close(c.writer);
	writer_close(b.writer);
	assert_false(hub_has_writer(f->hub));
	LOOP_UNTIL(f, f->writer_changes == 3);
	writer_close(NULL);
}

static void test_steal(void **state)
{
	struct fixture *f = *state;
	struct party a = { 0 }, b = { 0 }, c = { 0 };
	fixture_boot(f, 1, true);
	party_open(&a, f, "alice", false);
	party_open(&b, f, "bob", false);
	party_open(&c, f, "carol", true);
	assert_true(writer_has_role(c.writer));
	assert_false(writer_has_role(a.writer));
	assert_int_equal(writer_write(a.writer, "x", 1), -1);
	LOOP_UNTIL(f, a.roles == 1);
	assert_false(a.has_role);
	assert_string_equal(a.reason, "carol has taken over");
	assert_int_equal(b.roles + c.roles, 0);
	/* Then who has waited longest, which is not alice. */
	writer_close(c.writer);
	LOOP_UNTIL(f, b.roles == 1);
	assert_true(b.has_role);
	writer_close(b.writer);
	LOOP_UNTIL(f, a.roles == 2);
	assert_true(a.has_role);
	assert_string_equal(a.reason, "bob has left");
	writer_close(a.writer);
}

/* The role went and came back before anybody was told: nothing to tell. */
static void test_role_back_before_told(void **state)
{
	struct fixture *f = *state;
	struct party a = { 0 }, b = { 0 };
	fixture_boot(f, 1, true);
	party_open(&a, f, "alice", false);
	party_open(&b, f, "bob", true);
	writer_close(b.writer);
	LOOP_UNTIL(f, f->writer_changes == 1);
	assert_int_equal(a.roles, 0);
	assert_int_equal(writer_write(a.writer, "x", 1), 1);
	writer_close(a.writer);
}

static void test_close_when_told(void **state)
{
	struct fixture *f = *state;
	struct party a = { .close_when_told = true }, b = { .close_when_told = true }, c = { 0 };
	fixture_boot(f, 1, true);
	party_open(&a, f, "alice", false);
	party_open(&c, f, "carol", true);
	party_open(&b, f, "bob", false);
	LOOP_UNTIL(f, a.writer == NULL);
	writer_close(c.writer);
	LOOP_UNTIL(f, b.writer == NULL);
	assert_false(hub_has_writer(f->hub));
}

static void test_free_with_open_writers(void **state)
{
	struct fixture *f = *state;
	struct party a = { 0 }, b = { 0 };
	fixture_boot(f, 1, true);
	party_open(&a, f, "alice", false);
	party_open(&b, f, "bob", false);
	fixture_close(f);
	assert_int_equal(a.roles, 1);
	assert_false(a.has_role);
	assert_int_equal(b.roles, 0);
	assert_int_equal(writer_write(a.writer, "x", 1), -1);
	assert_false(writer_has_role(a.writer));
	writer_close(a.writer);
	writer_close(b.writer);
}

static void test_read_only(void **state)
{
	struct fixture *f = *state;
	struct party a = { 0 };
	struct err err = ERR_INIT;
	assert_int_equal(hub_begin_boot(f->hub, 1, true, fixture_fifo(f, "out", &f->guest_out), -1, &err), 0);
	assert_false(hub_is_writable(f->hub));
	assert_int_equal(writer_open(f->hub, "alice", false, &party_ops, &a, &a.writer, &err), -1);
	assert_int_equal(err.code, ERR_PERMISSION_DENIED);
	assert_non_null(strstr(err.msg, "channel \"serial0\" is read-only"));
}

/* Writes until nothing more is taken; returns how much was. */
static size_t fill(struct party *p)
{
	static char block[200000];
	size_t total = 0;
	ssize_t n;
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)('a' + i % 26);
	while ((n = writer_write(p->writer, block, sizeof(block))) > 0)
		total += (size_t)n;
	assert_int_equal(n, 0);
	return total;
}

static void guest_read_all(struct fixture *f)
{
	static char block[65536];
	while (read(f->guest_in, block, sizeof(block)) > 0)
		;
}

static void test_full_then_writable(void **state)
{
	struct fixture *f = *state;
	struct party a = { 0 };
	fixture_boot(f, 1, true);
	party_open(&a, f, "alice", false);
	assert_int_equal(fill(&a), 65536);
	assert_int_equal(fifo_unread(f->guest_in), 65536);
	for (int i = 0; i < 3; i++)
		fixture_turn(f);
	assert_int_equal(a.writables, 0);
	guest_read_all(f);
	LOOP_UNTIL(f, a.writables == 1);
	assert_int_equal(writer_write(a.writer, "more", 4), 4);
	assert_guest_reads(f, "more");
	for (int i = 0; i < 3; i++)
		fixture_turn(f);
	assert_int_equal(a.writables, 1); /* once */
	writer_close(a.writer);
}

/* What the old holder waited for does not reach the new one. */
static void test_role_goes_while_full(void **state)
{
	struct fixture *f = *state;
	struct party a = { 0 }, b = { 0 };
	fixture_boot(f, 1, true);
	party_open(&a, f, "alice", false);
	party_open(&b, f, "bob", false);
	fill(&a);
	writer_close(a.writer);
	guest_read_all(f);
	LOOP_UNTIL(f, b.roles == 1);
	fixture_turn(f);
	assert_int_equal(b.writables, 0);
	assert_int_equal(writer_write(b.writer, "hi", 2), 2);
	assert_guest_reads(f, "hi");
	writer_close(b.writer);
}

static void test_without_boot(void **state)
{
	struct fixture *f = *state;
	struct party a = { 0 };
	party_open(&a, f, "alice", false);
	assert_int_equal(writer_write(a.writer, "early", 5), 0);
	fixture_boot(f, 1, true);
	LOOP_UNTIL(f, a.writables == 1);
	assert_int_equal(writer_write(a.writer, "now", 3), 3);
	assert_guest_reads(f, "now");
	writer_close(a.writer);
}

/* Unread input dies with its boot; the next has a FIFO of its own. */
static void test_input_dies_with_boot(void **state)
{
	struct fixture *f = *state;
	struct party a = { 0 };
	fixture_boot(f, 1, true);
	party_open(&a, f, "alice", false);
	assert_int_equal(writer_write(a.writer, "old", 3), 3);
	fixture_end_boot(f);
	assert_false(hub_is_writable(f->hub));
	assert_int_equal(fixture_timers(f), 0);
	assert_int_equal(writer_write(a.writer, "between", 7), 0);
	fixture_boot(f, 2, true);
	assert_true(hub_is_writable(f->hub));
	assert_int_equal(fifo_unread(f->guest_in), 0);
	LOOP_UNTIL(f, a.writables == 1);
	writer_close(a.writer);
}

/* ---------------------------------------------------------------- input that is not taken */

static void test_stuck_fires_and_stops(void **state)
{
	struct fixture *f = *state;
	struct party a = { 0 };
	fixture_boot(f, 1, true);
	party_open(&a, f, "alice", false);
	uint64_t start = test_now_ms();
	assert_int_equal(writer_write(a.writer, "abc", 3), 3);
	LOOP_UNTIL(f, f->stucks == 4);
	assert_true(test_now_ms() - start >= 10 + 20 + 40 + 80 - 4); /* doubling; timers count in whole ms */
	assert_guest_reads(f, "abc");
	LOOP_UNTIL(f, fixture_timers(f) == 0);
	assert_int_equal(f->stucks, 4);
	writer_close(a.writer);
}

static void test_stuck_gives_up(void **state)
{
	struct fixture *f = *state;
	struct party a = { 0 };
	fixture_boot(f, 1, true);
	party_open(&a, f, "alice", false);
	assert_int_equal(writer_write(a.writer, "abc", 3), 3);
	LOOP_UNTIL(f, fixture_timers(f) == 0);
	assert_int_equal(f->stucks, 10);
	/* Output after a pause: three more. */
	guest_print_logged(f, "> ");
	LOOP_UNTIL(f, fixture_timers(f) == 0);
	assert_int_equal(f->stucks, 13);
	/* New input: from the beginning. */
	assert_int_equal(writer_write(a.writer, "d", 1), 1);
	LOOP_UNTIL(f, f->stucks == 17);
	assert_guest_reads(f, "abcd");
	writer_close(a.writer);
}

/* A guest that reads slowly by itself is left alone. Its timer is always due before the watch, also when this machine sleeps. */
static void guest_read_one(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct fixture *f = ctx;
	char c;
	assert_int_equal(read(f->guest_in, &c, 1), 1);
}

static void test_not_stuck_while_it_falls(void **state)
{
	static const struct timeval period = { 0, 2000 };
	struct fixture *f = *state;
	struct party a = { 0 };
	char text[50];
	fixture_boot(f, 1, true);
	party_open(&a, f, "alice", false);
	struct event *guest = event_new(f->base, -1, EV_TIMEOUT | EV_PERSIST, guest_read_one, f);
	event_add(guest, &period);
	memset(text, 'x', sizeof(text));
	assert_int_equal(writer_write(a.writer, text, sizeof(text)), sizeof(text));
	LOOP_UNTIL(f, fifo_unread(f->guest_in) == 0);
	event_free(guest);
	LOOP_UNTIL(f, fixture_timers(f) == 0);
	assert_int_equal(f->stucks, 0);
	writer_close(a.writer);
}

/* A UART that takes one byte a wake: the first needs 10 ms, then it goes fast. */
static void take_one_on_stuck(void *ctx)
{
	struct fixture *f = ctx;
	char c;
	f->stucks++;
	assert_int_equal(read(f->guest_in, &c, 1), 1);
}

static void test_stuck_helps_along(void **state)
{
	struct fixture *f = *state;
	struct party a = { 0 };
	struct err err = ERR_INIT;
	char text[200];
	fixture_close(f);
	struct hub_config config = fixture_config(f);
	config.on_input_stuck = take_one_on_stuck;
	assert_int_equal(hub_open(&config, &f->hub, &err), 0);
	fixture_boot(f, 1, true);
	party_open(&a, f, "alice", false);
	memset(text, 'x', sizeof(text));
	assert_int_equal(writer_write(a.writer, text, sizeof(text)), sizeof(text));
	LOOP_UNTIL(f, fifo_unread(f->guest_in) == 0);
	assert_int_equal(f->stucks, sizeof(text));
	LOOP_UNTIL(f, fixture_timers(f) == 0);
	writer_close(a.writer);
}

/* A new daemon finds what its predecessor wrote still unread. */
static void test_stuck_after_resume(void **state)
{
	struct fixture *f = *state;
	struct party a = { 0 };
	struct err err = ERR_INIT;
	fixture_boot(f, 1, true);
	party_open(&a, f, "alice", false);
	assert_int_equal(writer_write(a.writer, "abc", 3), 3);
	writer_close(a.writer);
	fixture_close(f);
	fixture_open(f);
	int out = openat(f->dir, "out", O_RDWR | O_NONBLOCK | O_CLOEXEC), in = openat(f->dir, "in", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(hub_resume_boot(f->hub, 1, true, out, in, &err), 0);
	LOOP_UNTIL(f, f->stucks == 2);
	assert_guest_reads(f, "abc");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_role_hand_over),
		TEST(test_steal),
		TEST(test_role_back_before_told),
		TEST(test_close_when_told),
		TEST(test_free_with_open_writers),
		TEST(test_read_only),
		TEST(test_full_then_writable),
		TEST(test_role_goes_while_full),
		TEST(test_without_boot),
		TEST(test_input_dies_with_boot),
		TEST(test_stuck_fires_and_stops),
		TEST(test_stuck_gives_up),
		TEST(test_not_stuck_while_it_falls),
		TEST(test_stuck_helps_along),
		TEST(test_stuck_after_resume),
	};
	return cmocka_run_group_tests_name("channel: writer", tests, NULL, NULL);
}
