/* SPDX-License-Identifier: Apache-2.0 */
/* The life cycle table, cell by cell: a change of it must be made here too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "instance/state.h"

/* What every event (column) does in every state (row): "action>next", either may be missing; "" = nothing changes. */
static const char *const cells[INST_STATE_COUNT][INST_EVENT_COUNT] = {
	/* clang-format off */
	[INST_QUEUED] = {
		[INST_EV_START] = ">preparing", [INST_EV_STOP] = "abort>ended", [INST_EV_TIMEOUT] = "fail-turn>failed" },
	[INST_PREPARING] = {
		[INST_EV_ASSIST] = ">assisting", [INST_EV_PREPARED] = ">booting", [INST_EV_REFUSED] = ">failed",
		[INST_EV_STOP] = "abort>ended", [INST_EV_TIMEOUT] = "fail-time>failed" },
	[INST_ASSISTING] = {
		[INST_EV_PREPARED] = ">booting", [INST_EV_REFUSED] = ">failed", [INST_EV_STOP] = "abort>ended",
		[INST_EV_FORSAKEN] = ">failed", [INST_EV_TIMEOUT] = "fail-time>failed" },
	[INST_BOOTING] = {
		[INST_EV_REFUSED] = ">failed", [INST_EV_RETRY] = ">backoff", [INST_EV_EXHAUSTED] = ">failed",
		[INST_EV_RUNS] = ">running", [INST_EV_RESTS] = ">paused", [INST_EV_STOP] = "stop>stopping",
		[INST_EV_USELESS] = "kill>stopping", [INST_EV_FORSAKEN] = "stop>stopping", [INST_EV_EXITED] = ">draining",
		[INST_EV_TIMEOUT] = "time-out>stopping" },
	[INST_RUNNING] = {
		[INST_EV_RESTS] = ">paused", [INST_EV_STOP] = "stop>stopping", [INST_EV_USELESS] = "kill>stopping",
		[INST_EV_FORSAKEN] = "stop>stopping", [INST_EV_EXITED] = ">draining" },
	[INST_PAUSED] = {
		[INST_EV_RUNS] = ">running", [INST_EV_STOP] = "stop>stopping", [INST_EV_USELESS] = "kill>stopping",
		[INST_EV_FORSAKEN] = "stop>stopping", [INST_EV_EXITED] = ">draining" },
	[INST_STOPPING] = {
		[INST_EV_STOP] = "stop>", [INST_EV_EXITED] = ">draining", [INST_EV_TIMEOUT] = "kill>stopping" },
	[INST_DRAINING] = {
		[INST_EV_DRAINED] = ">ended", [INST_EV_SPOILED] = ">failed", [INST_EV_RETRY] = ">backoff",
		[INST_EV_EXHAUSTED] = ">failed", [INST_EV_TIMEOUT] = "give-up>" },
	[INST_BACKOFF] = { [INST_EV_START] = ">preparing",
			   [INST_EV_STOP] = ">ended",
			   [INST_EV_FORSAKEN] = ">ended",
			   [INST_EV_TIMEOUT] = ">booting" },
	[INST_CLOSING] = { [INST_EV_STOP] = "stop>", [INST_EV_CLEARED] = ">ended", [INST_EV_TIMEOUT] = "clear>closing" },
	[INST_FAILING] = { [INST_EV_STOP] = "stop>", [INST_EV_CLEARED] = ">failed", [INST_EV_TIMEOUT] = "clear>failing" },
	[INST_ENDED] = { [INST_EV_QUEUE] = ">queued", [INST_EV_START] = ">preparing" },
	[INST_FAILED] = { [INST_EV_QUEUE] = ">queued", [INST_EV_START] = ">preparing" },
	/* clang-format on */
};

static const char *const action_names[INST_ACTION_COUNT] = {
	[INST_DO_NOTHING] = "",          [INST_DO_STOP] = "stop",           [INST_DO_KILL] = "kill",
	[INST_DO_TIME_OUT] = "time-out", [INST_DO_FAIL_TIME] = "fail-time", [INST_DO_ABORT] = "abort",
	[INST_DO_GIVE_UP] = "give-up",   [INST_DO_CLEAR] = "clear",         [INST_DO_FAIL_TURN] = "fail-turn",
};

/* What clients see, what may be held, how long it may last, whether it is over, whether it is saved. */
enum {
	HELPER = INST_HOLDS_HELPER,
	FIFOS = INST_HOLDS_FIFOS | INST_HOLDS_ENDPOINTS,
	COMMANDS = INST_HOLDS_COMMANDS,
	DEAD = INST_HOLDS_PROC | FIFOS | COMMANDS,
	REST = INST_HOLDS_FIFOS | COMMANDS,
	ALL = DEAD | INST_HOLDS_LINK
};

static const struct inst_state_row rows[INST_STATE_COUNT] = {
	[INST_QUEUED] = { "queued", PWEMU__V1__STATE__STATE_QUEUED, 0, 0, false, true },
	[INST_PREPARING] = { "preparing", PWEMU__V1__STATE__STATE_STARTING, HELPER | FIFOS, 30000, false, false },
	[INST_ASSISTING] = { "assisting", PWEMU__V1__STATE__STATE_STARTING, HELPER | FIFOS | COMMANDS, 30000, false, false },
	[INST_BOOTING] = { "booting", PWEMU__V1__STATE__STATE_STARTING, ALL, 60000, false, false },
	[INST_RUNNING] = { "running", PWEMU__V1__STATE__STATE_RUNNING, ALL, 0, false, true },
	[INST_PAUSED] = { "paused", PWEMU__V1__STATE__STATE_PAUSED, ALL, 0, false, true },
	[INST_STOPPING] = { "stopping", PWEMU__V1__STATE__STATE_STOPPING, ALL, 15000, false, true },
	[INST_DRAINING] = { "draining", PWEMU__V1__STATE__STATE_STOPPING, DEAD, 10000, false, false },
	[INST_BACKOFF] = { "backoff", PWEMU__V1__STATE__STATE_BACKOFF, DEAD, 0, false, true },
	[INST_CLOSING] = { "closing", PWEMU__V1__STATE__STATE_STOPPING, REST, 15000, false, true },
	[INST_FAILING] = { "failing", PWEMU__V1__STATE__STATE_STOPPING, REST, 15000, false, true },
	[INST_ENDED] = { "ended", PWEMU__V1__STATE__STATE_ENDED, 0, 0, true, true },
	[INST_FAILED] = { "failed", PWEMU__V1__STATE__STATE_FAILED, 0, 0, true, true },
};

static void describe_cell(enum inst_state state, enum inst_event event, char *out, size_t size)
{
	struct inst_step step = { .next = INST_STATE_COUNT };
	if (!inst_state_step(state, event, &step)) {
		assert_int_equal(step.next, INST_STATE_COUNT); /* untouched */
		out[0] = '\0';
		return;
	}
	snprintf(out, size, "%s>%s", action_names[step.action], step.moves ? inst_state_row(step.next)->name : "");
}

static void test_cells(void **ctx)
{
	(void)ctx;
	for (int state = 0; state < INST_STATE_COUNT; state++) {
		for (int event = 0; event < INST_EVENT_COUNT; event++) {
			char got[64];
			const char *want = cells[state][event] != NULL ? cells[state][event] : "";
			describe_cell((enum inst_state)state, (enum inst_event)event, got, sizeof(got));
			if (strcmp(got, want) != 0)
				fail_msg("%s at %s: is \"%s\", not \"%s\"", rows[state].name, inst_event_name((enum inst_event)event), got,
					 want);
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
				struct inst_step step;
				bool is_wish = event == INST_EV_STOP || event == INST_EV_START;
				if (!is_wish && inst_state_step((enum inst_state)state, (enum inst_event)event, &step) && ends[step.next])
					ends[state] = true;
			}
		}
	}
	for (int state = 0; state < INST_STATE_COUNT; state++)
		if (!ends[state])
			fail_msg("%s never ends", rows[state].name);
}

/* What must go on by itself has a limit (that of back-off is the policy's, that of the queue the user's), or holds a process whose end is
 * sure to be told. */
static void test_waiting_is_limited(void **ctx)
{
	(void)ctx;
	for (int i = 0; i < INST_STATE_COUNT; i++) {
		struct inst_step step;
		const struct inst_state_row *row = inst_state_row((enum inst_state)i);
		bool timeout_leads_on = inst_state_step((enum inst_state)i, INST_EV_TIMEOUT, &step);
		assert_int_equal(row->timeout_ms > 0 || i == INST_BACKOFF || i == INST_QUEUED, timeout_leads_on);
		if (!row->is_over && row->timeout_ms == 0 && i != INST_QUEUED)
			assert_true(row->holds & INST_HOLDS_PROC);
		if (row->is_over)
			assert_int_equal(row->holds, 0);
	}
}

/* What ends passes through a state in which its commands are ended, and only that leads on to where it ends. */
static void test_commands_go_first(void **ctx)
{
	(void)ctx;
	for (int i = 0; i < INST_STATE_COUNT; i++) {
		struct inst_step step;
		enum inst_state way = inst_state_by_way_of((enum inst_state)i);
		assert_int_equal(way != (enum inst_state)i, inst_state_row((enum inst_state)i)->is_over);
		if (way == (enum inst_state)i)
			continue;
		assert_true(inst_state_row(way)->holds & INST_HOLDS_COMMANDS);
		assert_true(inst_state_step(way, INST_EV_CLEARED, &step));
		assert_int_equal(step.next, i);
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
		cmocka_unit_test(test_commands_go_first),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests_name("instance: life cycle", tests, NULL, NULL);
}
