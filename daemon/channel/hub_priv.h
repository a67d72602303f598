/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hub.c, cursor.c, writer.c, beside.c and bound.c share; nobody else includes it.
 *
 * Callbacks to the outside run from the loop only, never from inside a function of hub.h (save hub_free). What is to be told is
 * remembered and hub_schedule() makes hub_on_notify() run, which tells a bounded number a turn. The outside may close and free
 * anything in a callback, the hub too: each round of callbacks stands between hub_enter() and hub_leave(), asks hub->is_freed after
 * each, and the memory goes in hub_leave().
 */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <sys/queue.h>

#include "channel/hub.h"
#include "channel/index.h"
#include "channel/input.h"
#include "channel/log.h"
#include "channel/pump.h"

enum cursor_state {
	CURSOR_TOLD,    /* in no list: its owner knows that there is something to read */
	CURSOR_WAITING, /* has read everything */
	CURSOR_READY,   /* to be told */
};

struct cursor {
	LIST_ENTRY(cursor) of_hub;
	TAILQ_ENTRY(cursor) queue; /* waiting or ready */
	struct hub *hub;           /* NULL: the hub is gone */
	const struct cursor_ops *ops;
	void *ctx;
	uint64_t offset;
	uint64_t limit;
	uint32_t hint;       /* index record to look at first */
	unsigned char state; /* enum cursor_state */
	bool times;
};

struct writer {
	TAILQ_ENTRY(writer) queue; /* all of the hub's, who asked first stands first */
	struct hub *hub;           /* NULL: the hub is gone */
	const struct writer_ops *ops;
	void *ctx;
	char *name;
	char *reason;  /* of the last change of role */
	bool was_told; /* the role as its owner knows it */
	bool yields;
	bool is_beside; /* in `besides` instead; what follows is for these */
	bool more;      /* its text goes on after what it writes now */
	bool has_begun; /* its text: some of it was written */
	bool is_cut;    /* by the end of a boot */
	bool wants_turn;
	uint64_t active_ms; /* monotonic; when it wrote last, or the role came */
};

struct trouble {
	STAILQ_ENTRY(trouble) next;
	struct err err;
};

LIST_HEAD(cursor_list, cursor);
TAILQ_HEAD(cursor_queue, cursor);
TAILQ_HEAD(writer_queue, writer);
STAILQ_HEAD(trouble_queue, trouble);

struct hub {
	struct hub_config config;
	char *name;
	struct log log;
	struct index index;
	struct pump pump;
	struct input input;
	struct event notify;

	struct cursor_list cursors;
	struct cursor_queue waiting;
	struct cursor_queue ready;
	unsigned cursor_count;

	struct writer_queue writers;
	struct writer *holder; /* of the writer role */
	bool wants_room;       /* the holder was given back bytes and waits for on_writable */
	bool has_room;         /* … and there is room: to be told */
	bool role_changed;     /* to be told */
	struct event yield;    /* timer; pending while a holder that yields keeps others waiting */

	struct writer_queue besides; /* who writes beside, who wrote last stands last */
	struct writer *speaker;      /* of these: whose text is being written, or whose turn it is; the holder waits */
	bool has_turn;               /* to be told */
	struct event turn;           /* timer; pending while the speaker has nothing to write */

	uint64_t last_time_ms;   /* monotonic; of the last time noted in the index */
	uint64_t last_output_ms; /* monotonic */
	bool is_final;
	bool is_ended; /* the boot's FIFO is drained: on_end_done is to be called */
	void (*on_end_done)(void *ctx);
	void *end_ctx;
	struct trouble_queue troubles; /* to be told */

	bool bound_failed;      /* the log is beyond its limit and that was told */
	uint64_t dropped_bytes; /* for want of room, not reported yet */
	struct event report;    /* pending: the next report waits for it */

	unsigned depth; /* rounds of callbacks on the stack */
	bool is_freed;
};

void hub_schedule(struct hub *hub);
void hub_tell_later(struct hub *hub, const struct err *err); /* through on_trouble */
void hub_enter(struct hub *hub);
void hub_leave(struct hub *hub); /* the hub may be gone after it */

/* ---- cursor.c */
void cursors_wake(struct hub *hub);    /* who waits is to be told */
bool cursors_tell(struct hub *hub);    /* false: more are to be told */
void cursors_abandon(struct hub *hub); /* the hub is being freed */

/* ---- bound.c */
void bound_check(struct hub *hub);              /* bytes have come: drops the oldest where they are too many */
void bound_settle(struct hub *hub);             /* log and index were opened: makes them agree on where the log begins */
bool bound_make_room(struct hub *hub, int sys); /* the log cannot be written: whether it is worth another try at once */
void bound_report(evutil_socket_t fd, short what, void *ctx);

/* ---- writer.c */
void writers_tell(struct hub *hub);
void writers_abandon(struct hub *hub);
void writers_boot_begun(struct hub *hub); /* who was refused for want of a boot may try again */
void writers_on_yield(evutil_socket_t fd, short what, void *hub);
extern const struct input_ops writer_input_ops;
void writer_init(struct writer *writer, struct hub *hub, const char *name, const struct writer_ops *ops, void *ctx);
int writers_check(const struct hub *hub, struct err *err) __attribute__((warn_unused_result)); /* PERMISSION_DENIED: read-only */

/* ---- beside.c */
ssize_t beside_write(struct writer *writer, const void *buf, size_t len);
void beside_close(struct writer *writer); /* it is freed by the caller */
void besides_on_pace(void *hub);
void besides_on_turn_over(evutil_socket_t fd, short what, void *hub);
void besides_boot_ended(struct hub *hub); /* a text that has begun is cut */
void besides_boot_begun(struct hub *hub);
void besides_tell(struct hub *hub);
void besides_abandon(struct hub *hub);
