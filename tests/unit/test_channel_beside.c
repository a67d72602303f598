/* SPDX-License-Identifier: Apache-2.0 */
/* Writing beside the writer: whole texts, in turn, at the guest's pace. */
#include "test_channel.h"

struct party {
	struct writer *writer;
	unsigned writables, roles;
	bool has_role;
	char reason[200];
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
}

static const struct writer_ops party_ops = { party_on_writable, party_on_role };

static void party_open(struct party *p, struct fixture *f, bool beside)
{
	struct err err = ERR_INIT;
	int rc = beside ? writer_open_beside(f->hub, "send", &party_ops, p, &p->writer, &err)
			: writer_open(f->hub, "term", false, &party_ops, p, &p->writer, &err);
	if (rc != 0)
		fail_msg("%s", err.msg);
}

static ssize_t say(struct party *p, const char *text, bool more)
{
	writer_set_more(p->writer, more);
	return writer_write(p->writer, text, strlen(text));
}

static void assert_guest_reads(struct fixture *f, const char *text)
{
	char buf[256] = "";
	assert_int_equal(read(f->guest_in, buf, sizeof(buf) - 1), (ssize_t)strlen(text));
	assert_string_equal(buf, text);
}

static void test_beside_needs_no_role(void **state)
{
	struct fixture *f = *state;
	struct party term = { 0 }, send = { 0 };
	fixture_boot(f, 1, true);
	party_open(&term, f, false);
	party_open(&send, f, true);
	assert_true(writer_has_role(term.writer));
	assert_true(writer_has_role(send.writer));
	assert_string_equal(writer_holder(f->hub), "term");
	assert_int_equal(writer_write(term.writer, "a", 1), 1);
	assert_int_equal(say(&send, "text", false), 4);
	assert_int_equal(writer_write(term.writer, "b", 1), 1);
	assert_guest_reads(f, "atextb");
	/* When the term has gone, nobody has the role because of a text. */
	writer_close(term.writer);
	assert_null(writer_holder(f->hub));
	writer_close(send.writer);
}

static void test_a_text_is_whole(void **state)
{
	struct fixture *f = *state;
	struct party term = { 0 }, one = { 0 }, two = { 0 }, three = { 0 };
	fixture_boot(f, 1, true);
	party_open(&term, f, false);
	party_open(&one, f, true);
	party_open(&two, f, true);
	party_open(&three, f, true);
	assert_int_equal(say(&one, "one", true), 3);
	assert_int_equal(say(&two, "two", false), 0);
	assert_int_equal(say(&three, "three", false), 0);
	assert_int_equal(writer_write(term.writer, "t", 1), 0);
	assert_int_equal(say(&one, "more", false), 4);
	LOOP_UNTIL(f, two.writables == 1);
	assert_int_equal(term.writables + three.writables, 0);
	assert_int_equal(say(&three, "three", false), 0); /* again: it is still the other's turn */
	assert_int_equal(say(&two, "two", false), 3);
	LOOP_UNTIL(f, three.writables == 1);
	assert_int_equal(say(&three, "three", false), 5);
	LOOP_UNTIL(f, term.writables == 1);
	assert_int_equal(writer_write(term.writer, "t", 1), 1);
	assert_guest_reads(f, "onemoretwothreet");
	writer_close(one.writer);
	writer_close(two.writer);
	writer_close(three.writer);
	writer_close(term.writer);
}

static void test_who_leaves_in_the_middle_frees_the_turn(void **state)
{
	struct fixture *f = *state;
	struct party term = { 0 }, one = { 0 }, two = { 0 };
	fixture_boot(f, 1, true);
	party_open(&term, f, false);
	party_open(&one, f, true);
	party_open(&two, f, true);
	assert_int_equal(say(&one, "one", true), 3);
	assert_int_equal(say(&two, "two", false), 0);
	assert_int_equal(writer_write(term.writer, "t", 1), 0);
	writer_close(one.writer);
	writer_close(two.writer); /* it was given the turn and is gone before it is told */
	LOOP_UNTIL(f, term.writables == 1);
	assert_int_equal(two.writables, 0);
	assert_int_equal(writer_write(term.writer, "t", 1), 1);
	assert_guest_reads(f, "onet");
	writer_close(term.writer);
}

/* An empty end of a text that had nothing to end must not take a turn. */
static void test_an_empty_end(void **state)
{
	struct fixture *f = *state;
	struct party one = { 0 }, two = { 0 };
	fixture_boot(f, 1, true);
	party_open(&one, f, true);
	party_open(&two, f, true);
	assert_int_equal(say(&one, "one", true), 3);
	assert_int_equal(say(&two, "", false), 0);
	assert_int_equal(say(&one, "", false), 0);
	assert_int_equal(say(&two, "two", false), 3);
	assert_guest_reads(f, "onetwo");
	writer_close(one.writer);
	writer_close(two.writer);
}

static void test_pace(void **state)
{
	struct fixture *f = *state;
	struct party send = { 0 };
	static char text[10000], buf[10000];
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	fixture_boot(f, 1, true);
	party_open(&send, f, true);
	size_t taken = 0, seen = 0;
	unsigned told = 0;
	ssize_t n = writer_write(send.writer, text, sizeof(text));
	assert_int_equal(n, 4096);
	assert_int_equal(writer_write(send.writer, text + 4096, sizeof(text) - 4096), 0);
	for (taken = (size_t)n; seen < sizeof(text);) {
		ssize_t got = read(f->guest_in, buf + seen, 3000);
		assert_true(got > 0);
		seen += (size_t)got;
		if (taken == sizeof(text))
			continue;
		LOOP_UNTIL(f, send.writables > told);
		told = send.writables;
		n = writer_write(send.writer, text + taken, sizeof(text) - taken);
		assert_true(n > 0 && taken + (size_t)n - seen <= 4096);
		taken += (size_t)n;
	}
	assert_memory_equal(buf, text, sizeof(text));
	writer_close(send.writer);
}

static void test_a_boot_that_ends_cuts_a_text(void **state)
{
	struct fixture *f = *state;
	struct party one = { 0 }, two = { 0 };
	fixture_boot(f, 1, true);
	party_open(&one, f, true);
	party_open(&two, f, true);
	assert_int_equal(say(&one, "one", true), 3);
	assert_int_equal(say(&two, "two", false), 0);
	hub_end_boot(f->hub, fixture_on_end, f);
	LOOP_UNTIL(f, f->ends == 1 && one.roles == 1);
	assert_false(one.has_role);
	assert_string_equal(one.reason, "the emulator has ended");
	assert_false(writer_has_role(one.writer));
	assert_int_equal(say(&one, "more", false), -1);
	/* A text that had not begun comes whole with the next boot. */
	assert_int_equal(two.roles, 0);
	assert_int_equal(say(&two, "two", false), 0);
	unsigned told = two.writables;
	fixture_boot(f, 2, false);
	LOOP_UNTIL(f, two.writables > told);
	assert_int_equal(say(&two, "two", false), 3);
	assert_guest_reads(f, "two");
	writer_close(one.writer);
	writer_close(two.writer);
}

static void test_the_hub_is_freed_under_it(void **state)
{
	struct fixture *f = *state;
	struct party send = { 0 };
	fixture_boot(f, 1, true);
	party_open(&send, f, true);
	assert_int_equal(say(&send, "one", true), 3);
	fixture_close(f);
	assert_int_equal(send.roles, 1);
	assert_int_equal(say(&send, "more", false), -1);
	writer_close(send.writer);
}

static void test_read_only(void **state)
{
	struct fixture *f = *state;
	struct party send = { 0 };
	struct err err = ERR_INIT;
	int out = fixture_fifo(f, "out", &f->guest_out);
	assert_int_equal(hub_begin_boot(f->hub, 1, true, out, -1, &err), 0);
	assert_int_equal(writer_open_beside(f->hub, "send", &party_ops, &send, &send.writer, &err), -1);
	assert_int_equal(err.code, ERR_PERMISSION_DENIED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_beside_needs_no_role),
		TEST(test_a_text_is_whole),
		TEST(test_who_leaves_in_the_middle_frees_the_turn),
		TEST(test_an_empty_end),
		TEST(test_pace),
		TEST(test_a_boot_that_ends_cuts_a_text),
		TEST(test_the_hub_is_freed_under_it),
		TEST(test_read_only),
	};
	return cmocka_run_group_tests_name("channel: beside", tests, NULL, NULL);
}
