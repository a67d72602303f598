/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel: a log that grows from a FIFO, the cursors that read it, and the one writer whose input goes to the other FIFO.
 *
 * Output. emulator -> FIFO -> splice -> log file; the daemon holds no byte of its own. The first byte after a pause is moved
 * at once, while output keeps coming the pump moves it every millisecond. Between outputs nothing wakes.
 * Input. The writer's bytes go to the in-FIFO with write(2), never more than it takes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/err.h"

struct event_base;
struct hub;
struct cursor;
struct writer;

struct hub_config {
	struct event_base *base;
	const char *name;   /* channel name; plain file name */
	int log_dir;        /* fd of the directory for NAME.log and NAME.idx; stays the caller's, must outlive the hub */
	/* Input lies unread in the FIFO though the guest could take it: wake the emulator (QEMU: any QMP command). May be NULL. */
	void (*on_input_stuck)(void *ctx);
	/* Something to tell the owner: the log cannot be written (ENOSPC), readable again. May be NULL. */
	void (*on_trouble)(void *ctx, const struct err *err);
	/* The writer role went to somebody or became free. May be NULL. */
	void (*on_writer)(void *ctx);
	void *ctx;
};

/* Opens or creates the log; its length is the position. */
int hub_open(const struct hub_config *config, struct hub **out, struct err *err) __attribute__((warn_unused_result));
void hub_free(struct hub *hub); /* ends cursors and writers (on_end); takes NULL */

/* A boot begins: its mark is written at the current end. The FIFO fds become the hub's. in_fd -1: read-only. explicit_start: a
 * user's start, not an automatic restart. */
int hub_begin_boot(struct hub *hub, uint32_t boot, bool explicit_start, int out_fd, int in_fd, struct err *err) __attribute__((warn_unused_result));
/* A new daemon takes over a running boot: as begin_boot, no mark. */
int hub_resume_boot(struct hub *hub, uint32_t boot, int out_fd, int in_fd, struct err *err) __attribute__((warn_unused_result));
/* The emulator's process tree is dead: moves what is left in the FIFO, then closes both; on_done from the loop or at once. Unread
 * input dies. Until the next begin_boot the channel has no input. */
void hub_end_boot(struct hub *hub, void (*on_done)(void *ctx), void *ctx);
/* No further boot: cursors that follow end after the last byte. hub_begin_boot undoes it. */
void hub_set_final(struct hub *hub, bool final);

uint64_t hub_end_offset(const struct hub *hub);
uint64_t hub_first_offset(const struct hub *hub);      /* oldest byte still there */
bool hub_is_writable(const struct hub *hub);           /* a boot with an in-FIFO is going on */
unsigned hub_cursor_count(const struct hub *hub);
bool hub_has_writer(const struct hub *hub);

/* ---- positions */
struct hub_boot {
	uint32_t number;
	uint64_t offset;    /* of its first byte */
	uint64_t time_ns;
	bool explicit_start;
};
/* Boot by number; number <= 0 counts back from the current one. NOT_FOUND names the range. */
int hub_find_boot(const struct hub *hub, int32_t number, struct hub_boot *out, struct err *err) __attribute__((warn_unused_result));
/* First byte of the first boot of the latest explicit start. */
uint64_t hub_start_offset(const struct hub *hub);

/* ---- readers */
struct cursor_ops {
	/* There is something to read (or the end): call cursor_read until it returns 0. Level-triggered: comes again only after a read
	 * has returned 0 bytes. */
	void (*on_readable)(void *ctx);
};
struct chunk {
	uint64_t offset;
	size_t len;
	uint64_t time_ns;       /* with times only */
	uint32_t boot;
	uint64_t boot_time_ns;
};
/* limit: offset at which reading ends (UINT64_MAX: none). times: chunks are cut at time and boot marks and carry them.
 * OUT_OF_RANGE when offset is beyond the end. An offset before hub_first_offset is moved to it. */
int cursor_open(struct hub *hub, uint64_t offset, uint64_t limit, bool times, const struct cursor_ops *ops, void *ctx,
		struct cursor **out, struct err *err) __attribute__((warn_unused_result));
/* Up to `size` bytes. 1: chunk filled; 0: nothing now; -1: read error. */
int cursor_read(struct cursor *cursor, void *buf, size_t size, struct chunk *chunk, struct err *err) __attribute__((warn_unused_result));
uint64_t cursor_offset(const struct cursor *cursor);
/* Nothing will ever come after what was read: the limit is reached, or the hub is final and read to its end, or is being freed. */
bool cursor_is_at_end(const struct cursor *cursor);
void cursor_close(struct cursor *cursor); /* takes NULL; may be called from on_readable */

/* ---- the writer */
struct writer_ops {
	/* The in-FIFO takes input again. */
	void (*on_writable)(void *ctx);
	/* The role came (true) or went (false), with the reason for people. */
	void (*on_role)(void *ctx, bool has_role, const char *reason);
};
/* A party that may write. It asks for the role at once; steal takes it from whoever has it. name: for people, "term of alice". */
int writer_open(struct hub *hub, const char *name, bool steal, const struct writer_ops *ops, void *ctx, struct writer **out, struct err *err)
	__attribute__((warn_unused_result));
bool writer_has_role(const struct writer *writer);
const char *writer_holder(const struct hub *hub);      /* name of who has the role; NULL if nobody */
/* Hands bytes to the emulator; returns how many were taken (0: FIFO full, wait for on_writable, or no boot). Without the role: -1. */
ssize_t writer_write(struct writer *writer, const void *buf, size_t len);
void writer_close(struct writer *writer); /* takes NULL */
