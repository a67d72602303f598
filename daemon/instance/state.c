/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/state.h"

#include <string.h>

#define PLACE       (INST_HOLDS_FIFOS | INST_HOLDS_ENDPOINTS)
#define LAYOUT      (INST_HOLDS_HELPER | PLACE)
#define DEAD        (INST_HOLDS_PROC | PLACE | INST_HOLDS_COMMANDS)
#define PROCESS     (DEAD | INST_HOLDS_LINK)
#define REST        (INST_HOLDS_FIFOS | INST_HOLDS_COMMANDS) /* shims have their files in the run directory */
#define SHOWN(name) PWEMU__V1__STATE__STATE_##name

static const struct inst_state_row rows[] = {
	[INST_QUEUED] = { "queued", SHOWN(QUEUED), 0, 0, false, true },
	[INST_PREPARING] = { "preparing", SHOWN(STARTING), LAYOUT, 30000, false, false },
	[INST_ASSISTING] = { "assisting", SHOWN(STARTING), LAYOUT | INST_HOLDS_COMMANDS, 30000, false, false },
	[INST_BOOTING] = { "booting", SHOWN(STARTING), PROCESS, 60000, false, false },
	[INST_RUNNING] = { "running", SHOWN(RUNNING), PROCESS, 0, false, true },
	[INST_PAUSED] = { "paused", SHOWN(PAUSED), PROCESS, 0, false, true },
	[INST_STOPPING] = { "stopping", SHOWN(STOPPING), PROCESS, 15000, false, true },
	[INST_DRAINING] = { "draining", SHOWN(STOPPING), DEAD, 10000, false, false },
	[INST_BACKOFF] = { "backoff", SHOWN(BACKOFF), DEAD, 0, false, true },
	[INST_CLOSING] = { "closing", SHOWN(STOPPING), REST, 15000, false, true },
	[INST_FAILING] = { "failing", SHOWN(STOPPING), REST, 15000, false, true },
	[INST_ENDED] = { "ended", SHOWN(ENDED), 0, 0, true, true },
	[INST_FAILED] = { "failed", SHOWN(FAILED), 0, 0, true, true },
};
_Static_assert(sizeof(rows) / sizeof(rows[0]) == INST_STATE_COUNT, "a row for every state");

/* `next` is stored as state + 1, so that an empty cell is 0. */
struct cell {
	unsigned char next, action;
};
#define GO(state)                                                                                                                          \
	{                                                                                                                                  \
		INST_##state + 1, INST_DO_NOTHING                                                                                          \
	}
#define DO(act, state)                                                                                                                     \
	{                                                                                                                                  \
		INST_##state + 1, INST_DO_##act                                                                                            \
	}
#define STAY(act)                                                                                                                          \
	{                                                                                                                                  \
		0, INST_DO_##act                                                                                                           \
	}

/* clang-format off */
static const struct cell cells[INST_STATE_COUNT][INST_EVENT_COUNT] = {
	[INST_QUEUED] = {
		[INST_EV_START] = GO(PREPARING),
		[INST_EV_STOP] = DO(ABORT, ENDED),
		[INST_EV_TIMEOUT] = DO(FAIL_TURN, FAILED),
	},
	[INST_PREPARING] = {
		[INST_EV_ASSIST] = GO(ASSISTING),
		[INST_EV_PREPARED] = GO(BOOTING),
		[INST_EV_REFUSED] = GO(FAILED),
		[INST_EV_STOP] = DO(ABORT, ENDED),
		[INST_EV_TIMEOUT] = DO(FAIL_TIME, FAILED),
	},
	[INST_ASSISTING] = {
		[INST_EV_PREPARED] = GO(BOOTING),
		[INST_EV_REFUSED] = GO(FAILED),
		[INST_EV_STOP] = DO(ABORT, ENDED),
		[INST_EV_FORSAKEN] = GO(FAILED),
		[INST_EV_TIMEOUT] = DO(FAIL_TIME, FAILED),
	},
	[INST_BOOTING] = {
		[INST_EV_REFUSED] = GO(FAILED),
		[INST_EV_RETRY] = GO(BACKOFF),
		[INST_EV_EXHAUSTED] = GO(FAILED),
		[INST_EV_RUNS] = GO(RUNNING),
		[INST_EV_RESTS] = GO(PAUSED),
		[INST_EV_STOP] = DO(STOP, STOPPING),
		[INST_EV_USELESS] = DO(KILL, STOPPING),
		[INST_EV_FORSAKEN] = DO(STOP, STOPPING),
		[INST_EV_EXITED] = GO(DRAINING),
		[INST_EV_TIMEOUT] = DO(TIME_OUT, STOPPING),
	},
	[INST_RUNNING] = {
		[INST_EV_RESTS] = GO(PAUSED),
		[INST_EV_STOP] = DO(STOP, STOPPING),
		[INST_EV_USELESS] = DO(KILL, STOPPING),
		[INST_EV_FORSAKEN] = DO(STOP, STOPPING),
		[INST_EV_EXITED] = GO(DRAINING),
	},
	[INST_PAUSED] = {
		[INST_EV_RUNS] = GO(RUNNING),
		[INST_EV_STOP] = DO(STOP, STOPPING),
		[INST_EV_USELESS] = DO(KILL, STOPPING),
		[INST_EV_FORSAKEN] = DO(STOP, STOPPING),
		[INST_EV_EXITED] = GO(DRAINING),
	},
	[INST_STOPPING] = {
		[INST_EV_STOP] = STAY(STOP),
		[INST_EV_EXITED] = GO(DRAINING),
		[INST_EV_TIMEOUT] = DO(KILL, STOPPING),
	},
	[INST_DRAINING] = {
		[INST_EV_DRAINED] = GO(ENDED),
		[INST_EV_SPOILED] = GO(FAILED),
		[INST_EV_RETRY] = GO(BACKOFF),
		[INST_EV_EXHAUSTED] = GO(FAILED),
		[INST_EV_TIMEOUT] = STAY(GIVE_UP),
	},
	[INST_BACKOFF] = {
		[INST_EV_START] = GO(PREPARING),
		[INST_EV_STOP] = GO(ENDED),
		[INST_EV_FORSAKEN] = GO(ENDED),
		[INST_EV_TIMEOUT] = GO(BOOTING),
	},
	[INST_CLOSING] = {
		[INST_EV_STOP] = STAY(STOP),
		[INST_EV_CLEARED] = GO(ENDED),
		[INST_EV_TIMEOUT] = DO(CLEAR, CLOSING),
	},
	[INST_FAILING] = {
		[INST_EV_STOP] = STAY(STOP),
		[INST_EV_CLEARED] = GO(FAILED),
		[INST_EV_TIMEOUT] = DO(CLEAR, FAILING),
	},
	[INST_ENDED] = { [INST_EV_QUEUE] = GO(QUEUED), [INST_EV_START] = GO(PREPARING) },
	[INST_FAILED] = { [INST_EV_QUEUE] = GO(QUEUED), [INST_EV_START] = GO(PREPARING) },
};
/* clang-format on */

static const char *const event_names[] = {
	[INST_EV_QUEUE] = "queue",     [INST_EV_START] = "start",       [INST_EV_ASSIST] = "assist",       [INST_EV_PREPARED] = "prepared",
	[INST_EV_REFUSED] = "refused", [INST_EV_RUNS] = "runs",         [INST_EV_RESTS] = "rests",         [INST_EV_STOP] = "stop",
	[INST_EV_USELESS] = "useless", [INST_EV_FORSAKEN] = "forsaken", [INST_EV_EXITED] = "exited",       [INST_EV_DRAINED] = "drained",
	[INST_EV_SPOILED] = "spoiled", [INST_EV_RETRY] = "retry",       [INST_EV_EXHAUSTED] = "exhausted", [INST_EV_CLEARED] = "cleared",
	[INST_EV_TIMEOUT] = "timeout",
};
_Static_assert(sizeof(event_names) / sizeof(event_names[0]) == INST_EVENT_COUNT, "a name for every event");

const struct inst_state_row *inst_state_row(enum inst_state state)
{
	return &rows[state];
}

enum inst_state inst_state_by_way_of(enum inst_state state)
{
	return state == INST_ENDED ? INST_CLOSING : state == INST_FAILED ? INST_FAILING : state;
}

const char *inst_event_name(enum inst_event event)
{
	return event_names[event];
}

bool inst_state_step(enum inst_state state, enum inst_event event, struct inst_step *out)
{
	const struct cell *cell = &cells[state][event];
	if (cell->next == 0 && cell->action == INST_DO_NOTHING)
		return false;
	out->action = (enum inst_action)cell->action;
	out->moves = cell->next != 0;
	out->next = out->moves ? (enum inst_state)(cell->next - 1) : state;
	return true;
}

bool inst_state_parse(const char *name, enum inst_state *out)
{
	for (int i = 0; i < INST_STATE_COUNT; i++) {
		if (strcmp(rows[i].name, name) == 0) {
			*out = (enum inst_state)i;
			return true;
		}
	}
	return false;
}
