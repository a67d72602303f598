/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/state.h"

#include <string.h>

#define PROCESS     (INST_HOLDS_PROC | INST_HOLDS_LINK | INST_HOLDS_FIFOS)
#define SHOWN(name) PWEMU__V1__STATE__STATE_##name

static const struct inst_state_row rows[] = {
	[INST_PREPARING] = { "preparing", SHOWN(STARTING), INST_HOLDS_HELPER | INST_HOLDS_FIFOS, 30000, false, false },
	[INST_BOOTING] = { "booting", SHOWN(STARTING), PROCESS, 60000, false, false },
	[INST_RUNNING] = { "running", SHOWN(RUNNING), PROCESS, 0, false, true },
	[INST_PAUSED] = { "paused", SHOWN(PAUSED), PROCESS, 0, false, true },
	[INST_STOPPING] = { "stopping", SHOWN(STOPPING), PROCESS, 0, false, true },
	[INST_DRAINING] = { "draining", SHOWN(STOPPING), INST_HOLDS_PROC | INST_HOLDS_FIFOS, 10000, false, true },
	[INST_ENDED] = { "ended", SHOWN(ENDED), 0, 0, true, true },
	[INST_FAILED] = { "failed", SHOWN(FAILED), 0, 0, true, true },
};
_Static_assert(sizeof(rows) / sizeof(rows[0]) == INST_STATE_COUNT, "a row for every state");

/* Stored as state + 1, so that an empty cell is 0. */
#define GO(state) ((unsigned char)(INST_##state + 1))

static const unsigned char next_state[INST_STATE_COUNT][INST_EVENT_COUNT] = {
	[INST_PREPARING] = {
		[INST_EV_PREPARED] = GO(BOOTING),
		[INST_EV_REFUSED] = GO(FAILED),
		[INST_EV_STOP] = GO(ENDED),
		[INST_EV_TIMEOUT] = GO(FAILED),
	},
	[INST_BOOTING] = {
		[INST_EV_REFUSED] = GO(FAILED),
		[INST_EV_RUNS] = GO(RUNNING),
		[INST_EV_RESTS] = GO(PAUSED),
		[INST_EV_STOP] = GO(STOPPING),
		[INST_EV_EXITED] = GO(DRAINING),
		[INST_EV_TIMEOUT] = GO(STOPPING),
	},
	[INST_RUNNING] = {
		[INST_EV_RESTS] = GO(PAUSED),
		[INST_EV_STOP] = GO(STOPPING),
		[INST_EV_EXITED] = GO(DRAINING),
	},
	[INST_PAUSED] = {
		[INST_EV_RUNS] = GO(RUNNING),
		[INST_EV_STOP] = GO(STOPPING),
		[INST_EV_EXITED] = GO(DRAINING),
	},
	[INST_STOPPING] = {
		[INST_EV_EXITED] = GO(DRAINING),
	},
	[INST_DRAINING] = {
		[INST_EV_DRAINED] = GO(ENDED),
		[INST_EV_SPOILED] = GO(FAILED),
		[INST_EV_TIMEOUT] = GO(ENDED),
	},
	[INST_ENDED] = { [INST_EV_START] = GO(PREPARING) },
	[INST_FAILED] = { [INST_EV_START] = GO(PREPARING) },
};

static const char *const event_names[] = {
	[INST_EV_START] = "start",     [INST_EV_PREPARED] = "prepared", [INST_EV_REFUSED] = "refused", [INST_EV_RUNS] = "runs",
	[INST_EV_RESTS] = "rests",     [INST_EV_STOP] = "stop",         [INST_EV_EXITED] = "exited",   [INST_EV_DRAINED] = "drained",
	[INST_EV_SPOILED] = "spoiled", [INST_EV_TIMEOUT] = "timeout",
};
_Static_assert(sizeof(event_names) / sizeof(event_names[0]) == INST_EVENT_COUNT, "a name for every event");

const struct inst_state_row *inst_state_row(enum inst_state state)
{
	return &rows[state];
}

const char *inst_event_name(enum inst_event event)
{
	return event_names[event];
}

bool inst_state_next(enum inst_state state, enum inst_event event, enum inst_state *next)
{
	unsigned char cell = next_state[state][event];
	if (cell == 0)
		return false;
	*next = (enum inst_state)(cell - 1);
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
