/* SPDX-License-Identifier: Apache-2.0 */
/* The life cycle table, cell by cell: a change of it must be made here too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "instance/state.h"

/* Next state of every state (row) at every event (column); "" = nothing changes. */
static const char *const cells[INST_STATE_COUNT][INST_EVENT_COUNT] = {
	/* clang-format off */
	/*                   start        prepared   refused   runs       rests     stop        exited      drained  spoiled   timeout */
	[INST_PREPARING] = { "",          "booting", "failed", "",        "",       "ended",    "",         "",      "",       "failed" },
	[INST_BOOTING] =   { "",          "",        "failed", "running", "paused", "stopping", "draining", "",      "",       "stopping" },
	[INST_RUNNING] =   { "",          "",        "",       "",        "paused", "stopping", "draining", "",      "",       "" },
	[INST_PAUSED] =    { "",          "",        "",       "running", "",       "stopping", "draining", "",      "",       "" },
	[INST_STOPPING] =  { "",          "",        "",       "",        "",       "",         "draining", "",      "",       "" },
	[INST_DRAINING] =  { "",          "",        "",       "",        "",       "",         "",         "ended", "failed", "ended" },
	[INST_ENDED] =     { "preparing", "",        "",       "",        "",       "",         "",         "",      "",       "" },
	[INST_FAILED] =    { "preparing", "",        "",       "",        "",       "",         "",         "",      "",       "" },
	/* clang-format on */
};

/* What clients see, what may be held, how long it may last, whether it is over, whether it is saved. */
enum { HELPER = INST_HOLDS_HELPER, PROC = INST_HOLDS_PROC, FIFOS = INST_HOLDS_FIFOS, ALL = PROC | INST_HOLDS_LINK | FIFOS };

static const struct inst_state_row rows[INST_STATE_COUNT] = {
	[INST_PREPARING] = { "preparing", PWEMU__V1__STATE__STATE_STARTING, HELPER | FIFOS, 30000, false, false },
	[INST_BOOTING] = { "booting", PWEMU__V1__STATE__STATE_STARTING, ALL, 60000, false, false },
	[INST_RUNNING] = { "running", PWEMU__V1__STATE__STATE_RUNNING, ALL, 0, false, true },
	[INST_PAUSED] = { "paused", PWEMU__V1__STATE__STATE_PAUSED, ALL, 0, false, true },
	[INST_STOPPING] = { "stopping", PWEMU__V1__STATE__STATE_STOPPING, ALL, 0, false, true },
	[INST_DRAINING] = { "draining", PWEMU__V1__STATE__STATE_STOPPING, PROC | FIFOS, 10000, false, true },
	[INST_ENDED] = { "ended", PWEMU__V1__STATE__STATE_ENDED, 0, 0, true, true },
	[INST_FAILED] = { "failed", PWEMU__V1__STATE__STATE_FAILED, 0, 0, true, true },
};

static void test_cells(void **ctx)
{
	(void)ctx;
	for (int state = 0; state < INST_STATE_COUNT; state++) {
		for (int event = 0; event < INST_EVENT_COUNT; event++) {
			enum inst_state next = INST_STATE_COUNT;
			bool changes = inst_state_next((enum inst_state)state, (enum inst_event)event, &next);
			const char *got = changes ? inst_state_row(next)->name : "", *want = cells[state][event];
			assert_non_null(want);
			if (strcmp(got, want) != 0)
				fail_msg("%s at %s: leads to \"%s\", not to \"%s\"", rows[state].name,
					 inst_event_name((enum inst_event)event), got, want);
			if (!changes)
				assert_int_equal(next, INST_STATE_COUNT); /* untouched */
		}
	}
}

static void test_rows(void **ctx)
{
	(void)ctx;
	for (int i = 0; i < INST_STATE_COUNT; i++) {
		const struct inst_state_row *row = inst_state_row((enum inst_state)i), *want = &rows[i];
		assert_string_equal(row->name, want->name);
		assert_int_equal(row->shown, want->shown);
		assert_int_equal(row->holds, want->holds);
		assert_int_equal(row->timeout_ms, want->timeout_ms);
		assert_int_equal(row->is_over, want->is_over);
		assert_int_equal(row->is_saved, want->is_saved);
	}
}

/* From every state there is a way to a state that is over, by events that need nobody's wish. */
static void test_every_state_can_end(void **ctx)
{
	(void)ctx;
	bool ends[INST_STATE_COUNT] = { [INST_ENDED] = true, [INST_FAILED] = true };
	for (int round = 0; round < INST_STATE_COUNT; round++) {
		for (int state = 0; state < INST_STATE_COUNT; state++) {
			for (int event = 0; event < INST_EVENT_COUNT; event++) {
				enum inst_state next;
				bool is_wish = event == INST_EV_STOP || event == INST_EV_START;
				if (!is_wish && inst_state_next((enum inst_state)state, (enum inst_event)event, &next) && ends[next])
					ends[state] = true;
			}
		}
	}
	for (int state = 0; state < INST_STATE_COUNT; state++)
		if (!ends[state])
			fail_msg("%s never ends", rows[state].name);
}

/* What must go on by itself has a limit, or holds a process whose end is sure to be told. */
static void test_waiting_is_limited(void **ctx)
{
	(void)ctx;
	for (int i = 0; i < INST_STATE_COUNT; i++) {
		enum inst_state next;
		const struct inst_state_row *row = inst_state_row((enum inst_state)i);
		bool timeout_leads_on = inst_state_next((enum inst_state)i, INST_EV_TIMEOUT, &next);
		assert_int_equal(row->timeout_ms > 0, timeout_leads_on);
		if (!row->is_over && row->timeout_ms == 0)
			assert_true(row->holds & INST_HOLDS_PROC);
		if (row->is_over)
			assert_int_equal(row->holds, 0);
	}
}

static void test_names(void **ctx)
{
	(void)ctx;
	for (int i = 0; i < INST_STATE_COUNT; i++) {
		enum inst_state parsed = INST_STATE_COUNT;
		assert_true(inst_state_parse(rows[i].name, &parsed));
		assert_int_equal(parsed, i);
	}
	static const char *const unknown[] = { "", "run", "runningg", "Running", "running " };
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		enum inst_state parsed = INST_STATE_COUNT;
		assert_false(inst_state_parse(unknown[i], &parsed));
		assert_int_equal(parsed, INST_STATE_COUNT);
	}
	for (int i = 0; i < INST_EVENT_COUNT; i++) {
		assert_non_null(inst_event_name((enum inst_event)i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(inst_event_name((enum inst_event)i), inst_event_name((enum inst_event)j));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_every_state_can_end),
		cmocka_unit_test(test_waiting_is_limited),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests_name("instance: life cycle", tests, NULL, NULL);
}
