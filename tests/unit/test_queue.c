/* SPDX-License-Identifier: Apache-2.0 */
/* Who is next: the order in which starts leave the queue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "instance/queue.h"

/* rows: "uid:ticket uid:ticket …", in any order; want: the same in the order of the queue. */
static void check(const char *rows, uid_t last, const char *want)
{
	struct queue_row list[32];
	char got[256] = "";
	size_t count = 0;
	for (const char *at = rows; *at != '\0'; at += strcspn(at, " "), at += strspn(at, " ")) {
		char *end;
		list[count] = (struct queue_row){ .uid = (uid_t)strtoul(at, &end, 10) };
		list[count++].ticket = strtoull(end + 1, NULL, 10);
	}
	queue_sort(list, count, last);
	for (size_t i = 0; i < count; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%u:%llu", i > 0 ? " " : "", (unsigned)list[i].uid,
			 (unsigned long long)list[i].ticket);
	assert_string_equal(got, want);
}

static void test_one_user(void **state)
{
	(void)state;
	check("", 0, "");
	check("5:1", 0, "5:1");
	check("5:3 5:1 5:2", 5, "5:1 5:2 5:3");
}

/* Whoever asks for many waits behind everybody's first. */
static void test_users_in_turn(void **state)
{
	(void)state;
	check("5:1 5:2 5:3 5:4 6:5 7:6", 5, "6:5 7:6 5:1 5:2 5:3 5:4");
	check("5:1 5:2 5:3 6:4 6:5", 6, "5:1 6:4 5:2 6:5 5:3");
	check("5:1 5:2 5:3 6:4 6:5", 5, "6:4 5:1 6:5 5:2 5:3");
}

/* The user after the one that had the last turn, also where that is none of those that wait. */
static void test_the_turn_goes_round(void **state)
{
	(void)state;
	check("5:9 6:8 7:7", 4, "5:9 6:8 7:7");
	check("5:9 6:8 7:7", 5, "6:8 7:7 5:9");
	check("5:9 7:7 8:1", 6, "7:7 8:1 5:9");
	check("5:9 6:8 7:7", 7, "5:9 6:8 7:7");
	check("5:9 6:8 7:7", 4000000000, "5:9 6:8 7:7");
}

/* As it is done: the first leaves, and it was that user's turn. Nobody gets two turns while another one waits. */
static void test_nobody_starves(void **state)
{
	(void)state;
	struct queue_row rows[30];
	uid_t last = 0;
	size_t count = 0;
	for (unsigned i = 0; i < 24; i++)
		rows[count++] = (struct queue_row){ .uid = 1000, .ticket = i };
	for (unsigned i = 0; i < 3; i++) {
		rows[count++] = (struct queue_row){ .uid = 1001, .ticket = 100 + 2 * i };
		rows[count++] = (struct queue_row){ .uid = 1002, .ticket = 101 + 2 * i };
	}
	for (unsigned turn = 0; turn < 9; turn++) {
		queue_sort(rows, count, last);
		assert_int_equal(rows[0].uid, 1000 + turn % 3);
		last = rows[0].uid;
		memmove(rows, rows + 1, --count * sizeof(rows[0]));
	}
	for (; count > 0; count--) {
		queue_sort(rows, count, last);
		assert_int_equal(rows[0].uid, 1000);
		assert_int_equal(rows[0].ticket, 24 - count);
		memmove(rows, rows + 1, (count - 1) * sizeof(rows[0]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_user),
		cmocka_unit_test(test_users_in_turn),
		cmocka_unit_test(test_the_turn_goes_round),
		cmocka_unit_test(test_nobody_starves),
	};
	return cmocka_run_group_tests_name("instance: queue", tests, NULL, NULL);
}
