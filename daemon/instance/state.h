/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life cycle of an instance as a table: for every state what it may hold and for how long, and for every event what is done and
 * where it leads. A cell that is not filled means that the event changes nothing in that state.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pwemu/v1/instances.pb-c.h"

enum inst_state {
	INST_QUEUED,    /* waits for its turn; holds nothing */
	INST_PREPARING, /* a helper looks at images, program and working directory */
	INST_ASSISTING, /* pre-start commands are being started */
	INST_BOOTING,   /* the emulator was started (or is being adopted) and has not answered yet */
	INST_RUNNING,
	INST_PAUSED,
	INST_STOPPING, /* the process tree is being ended */
	INST_DRAINING, /* it is dead; what its FIFOs hold goes to the logs */
	INST_BACKOFF,  /* it has died and is started again when its time has come */
	INST_CLOSING,  /* on the way to ENDED: its pre-start and post-start commands are being ended */
	INST_FAILING,  /* the same on the way to FAILED */
	INST_ENDED,
	INST_FAILED, /* never ran, the emulator refused its configuration, or it died too often */
	INST_STATE_COUNT
};

enum inst_event {
	INST_EV_QUEUE,     /* somebody asks for a start, and others come first */
	INST_EV_START,     /* somebody asks for a start, or its turn has come */
	INST_EV_ASSIST,    /* the helper found everything right, and there are commands to be started */
	INST_EV_PREPARED,  /* the emulator can be started */
	INST_EV_REFUSED,   /* it did not, or the emulator could not be started */
	INST_EV_RUNS,      /* the emulator says that the guest runs */
	INST_EV_RESTS,     /* the emulator says that the guest does not run */
	INST_EV_STOP,      /* somebody asks for a stop */
	INST_EV_USELESS,   /* it hangs, or cannot be looked after, and is to be ended for it */
	INST_EV_FORSAKEN,  /* a command that it cannot do without has ended */
	INST_EV_EXITED,    /* the process tree is dead */
	INST_EV_DRAINED,   /* the logs are complete, the boot ended as boots end */
	INST_EV_SPOILED,   /* … the emulator had refused its configuration */
	INST_EV_RETRY,     /* … and it is to be started again */
	INST_EV_EXHAUSTED, /* … and it died too often to be started again */
	INST_EV_CLEARED,   /* no command of it is left */
	INST_EV_TIMEOUT,   /* the state's time is over */
	INST_EVENT_COUNT
};

/* What is done about an event. */
enum inst_action {
	INST_DO_NOTHING,
	INST_DO_STOP,      /* SIGTERM to the trees of emulator and commands, SIGKILL after the grace */
	INST_DO_KILL,      /* SIGKILL to the emulator's tree */
	INST_DO_CLEAR,     /* SIGKILL to the trees of the commands */
	INST_DO_TIME_OUT,  /* the emulator does not answer: note why it is ended, SIGKILL */
	INST_DO_FAIL_TIME, /* the preparation takes too long: note why */
	INST_DO_FAIL_TURN, /* its turn did not come in time: note why */
	INST_DO_ABORT,     /* the start was given up before it ran: note why */
	INST_DO_GIVE_UP,   /* what cannot be drained is lost; how the boot ended is told all the same */
	INST_ACTION_COUNT
};

/* What a state may hold; entering a state drops the rest. */
enum inst_hold {
	INST_HOLDS_HELPER = 1 << 0,    /* the preparing helper */
	INST_HOLDS_PROC = 1 << 1,      /* shim and process; in back-off the shim of the boot that ended, for its descriptors */
	INST_HOLDS_LINK = 1 << 2,      /* the driver's connection */
	INST_HOLDS_FIFOS = 1 << 3,     /* the boot's run directory */
	INST_HOLDS_ENDPOINTS = 1 << 4, /* ports and PTYs; when they go, who is attached gets the last words first */
	INST_HOLDS_COMMANDS = 1 << 5,  /* pre-start and post-start commands */
};

struct inst_state_row {
	const char *name;
	Pwemu__V1__State shown; /* as clients see it */
	unsigned holds;         /* enum inst_hold */
	uint32_t timeout_ms;    /* 0: may last for ever, or its length is decided on entry (back-off) */
	bool is_over;           /* no process, none on its way */
	bool is_saved;          /* the next daemon must know of it; else it finds the state before */
};

const struct inst_state_row *inst_state_row(enum inst_state state);

/* Where a way to this state begins while commands live: they are ended first. */
enum inst_state inst_state_by_way_of(enum inst_state state);

/* What the event leads to. */
struct inst_step {
	enum inst_action action;
	bool moves; /* to another state, or into the same one again */
	enum inst_state next;
};

/* False when the event changes nothing. */
bool inst_state_step(enum inst_state state, enum inst_event event, struct inst_step *out);

/* State by its name; false when there is none. */
bool inst_state_parse(const char *name, enum inst_state *out);
const char *inst_event_name(enum inst_event event);
