/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel: a log that grows from a FIFO, the cursors that read it, and the one writer whose input goes to the other FIFO.
 *
 * Output. emulator -> FIFO -> splice -> log file; the daemon holds no byte of its own. The first byte after a pause is moved
 * at once, while output keeps coming the pump moves it every millisecond. Between outputs nothing wakes.
 * Input. The writer's bytes go to the in-FIFO with write(2), never more than it takes.
 *
 * Callbacks come from the event loop, never from inside a function of this header, save hub_free(). A callback may call anything
 * here: close its own or another cursor or writer, free the hub.
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
	const char *name;     /* channel name; plain file name */
	int log_dir;          /* fd of the directory for NAME.log and NAME.idx; stays the caller's, must outlive the hub */
	uint64_t limit_bytes; /* newest bytes that are kept, and a little more: what is dropped is dropped in steps; 0: everything */
	bool drop_oldest;     /* on a full disk the oldest bytes go, a quarter at a time; else the emulator waits */
	/* Input lies unread in the FIFO though the guest could take it: wake the emulator (QEMU: any QMP command). Comes 10 ms after the
	 * input, then at doubling intervals up to 1 s, at most ten times; anew with new input, three times more when output comes
	 * after a pause. Where a wake helps, the rest of the input is helped along every millisecond. May be NULL. */
	void (*on_input_stuck)(void *ctx);
	/* Something to tell the owner: the log cannot be written (ENOSPC: the output stays in the FIFO, the emulator waits, it is tried
	 * every second), it can be written again (code ERR_OK), bytes were dropped because the disk is full, the log cannot be kept within
	 * its limit, a damaged index was repaired (DATA_LOSS: times, never bytes). May be NULL. */
	void (*on_trouble)(void *ctx, const struct err *err);
	/* The writer role went to somebody or became free. May be NULL. */
	void (*on_writer)(void *ctx);
	void *ctx;
};

/* Opens or creates the log; its length is the position. What is damaged in the index is repaired and told through on_trouble. */
int hub_open(const struct hub_config *config, struct hub **out, struct err *err) __attribute__((warn_unused_result));
/* Other bounds than those it was opened with; they hold from the next byte on. */
void hub_set_bounds(struct hub *hub, uint64_t limit_bytes, bool drop_oldest);
/* Also in the middle of a boot (a daemon's exit): what is in the FIFO stays for the next daemon. Each open cursor gets on_readable and is
 * at its end, the writer on_role(false); both remain their owners', who close them. */
void hub_free(struct hub *hub); /* takes NULL */

/* A boot begins: its mark is written at the current end. The FIFO fds (O_RDWR, non-blocking) become the hub's, on failure they stay the
 * caller's. in_fd -1: read-only. explicit_start: a user's start, not an automatic restart. Numbers only grow; a number may come again
 * as long as that boot has printed nothing. */
int hub_begin_boot(struct hub *hub, uint32_t boot, bool explicit_start, int out_fd, int in_fd, struct err *err)
	__attribute__((warn_unused_result));
/* A new daemon takes over a running boot: as begin_boot, without a mark, unless that was lost. */
int hub_resume_boot(struct hub *hub, uint32_t boot, bool explicit_start, int out_fd, int in_fd, struct err *err)
	__attribute__((warn_unused_result));
/* The emulator's process tree is dead: moves what is left in the FIFO, then closes both and calls on_done. Unread input dies. Until the
 * next begin_boot, which may come from on_done, the channel has no input. While the log cannot be written on_done waits. */
void hub_end_boot(struct hub *hub, void (*on_done)(void *ctx), void *ctx);
/* As hub_end_boot and may follow it, for those who cannot wait: what is left in the FIFO is given up; on_done still comes. */
void hub_drop_boot(struct hub *hub);
/* Of the latest boot: its last bytes may be missing, since the emulator kept them back. What cannot be noted is told as trouble. */
void hub_mark_tail_unknown(struct hub *hub);
/* No further boot: cursors that follow end after the last byte. hub_begin_boot undoes it. */
void hub_set_final(struct hub *hub, bool final);

uint64_t hub_end_offset(const struct hub *hub);
uint64_t hub_first_offset(const struct hub *hub); /* oldest byte still there; whoever reads the file himself keeps behind it */
bool hub_is_writable(const struct hub *hub);      /* a boot with an in-FIFO is going on */
unsigned hub_cursor_count(const struct hub *hub);
bool hub_has_writer(const struct hub *hub);
uint64_t hub_last_output_ms(const struct hub *hub); /* monotonic; when output came last, 0: not in this daemon's time */
bool hub_is_in_trouble(const struct hub *hub);      /* the log cannot be written: output is not taken */
uint32_t hub_last_boot(const struct hub *hub);      /* number of the latest boot the log knows; 0: none */

/* ---- positions */
struct hub_boot {
	uint32_t number;
	uint64_t offset; /* of its first byte, or of the first that is still there */
	uint64_t time_ns;
	bool explicit_start;
	bool tail_unknown; /* hub_mark_tail_unknown() */
};
/* Boot by number; number <= 0 is added to the current one's (0: the current, -1: the one before). NOT_FOUND names the range. */
int hub_find_boot(const struct hub *hub, int32_t number, struct hub_boot *out, struct err *err) __attribute__((warn_unused_result));
/* First byte of the first boot of the latest explicit start; the oldest byte if none is known. */
uint64_t hub_start_offset(const struct hub *hub);

/* ---- readers */
struct cursor_ops {
	/* There is something to read (or the end): call cursor_read until it returns 0, now or when there is room, then look at
	 * cursor_is_at_end. Comes also for what is there when the cursor is opened, and again only after a read has returned 0. */
	void (*on_readable)(void *ctx);
};
struct chunk {
	uint64_t offset;
	size_t len;
	uint64_t time_ns; /* with times only */
	uint32_t boot;
	uint64_t boot_time_ns;
};
/* limit: offset at which reading ends (UINT64_MAX: none). times: chunks are cut at time and boot marks and carry them.
 * OUT_OF_RANGE when offset is beyond the end. A cursor before hub_first_offset is moved to it, also later: a chunk's offset tells. */
int cursor_open(struct hub *hub, uint64_t offset, uint64_t limit, bool times, const struct cursor_ops *ops, void *ctx, struct cursor **out,
		struct err *err) __attribute__((warn_unused_result));
/* Up to `size` bytes. 1: chunk filled; 0: nothing now; -1: read error. */
int cursor_read(struct cursor *cursor, void *buf, size_t size, struct chunk *chunk, struct err *err) __attribute__((warn_unused_result));
uint64_t cursor_offset(const struct cursor *cursor);
/* Goes on elsewhere, at most at the hub's end: back over what could not be passed on, or ahead over what was read by other means. At the
 * end it waits as after a read that returned 0. */
void cursor_seek(struct cursor *cursor, uint64_t offset);
/* Nothing will come after what was read: the limit is reached, or the hub is final, its boot has ended and everything was read, or the
 * hub is gone. */
bool cursor_is_at_end(const struct cursor *cursor);
void cursor_close(struct cursor *cursor); /* takes NULL; may be called from on_readable */

/* ---- the writer */
struct writer_ops {
	/* The in-FIFO takes input again, or it is one's turn; once, after a write that was not taken in full. */
	void (*on_writable)(void *ctx);
	/* The role came (true) or went (false), with the reason for people. */
	void (*on_role)(void *ctx, bool has_role, const char *reason);
};
/* A party that may write. It asks for the role at once: writer_has_role() tells whether it came; steal takes it from whoever has it. When
 * the holder closes, or yields, the role goes to who has waited longest. name: for people, "term of alice". PERMISSION_DENIED: read-only.
 */
int writer_open(struct hub *hub, const char *name, bool steal, const struct writer_ops *ops, void *ctx, struct writer **out,
		struct err *err) __attribute__((warn_unused_result));
bool writer_has_role(const struct writer *writer);
const char *writer_holder(const struct hub *hub); /* name of who has the role; NULL if nobody */
/* Hands bytes to the emulator; returns how many were taken (FIFO full, no boot: fewer or 0). Less than len: on_writable follows, with the
 * next boot if need be. Without the role: -1. */
ssize_t writer_write(struct writer *writer, const void *buf, size_t len);
/* As writer_write, with what lies unread in `from`, a PTY's master (non-blocking): the kernel moves it, nobody holds a byte meanwhile.
 * *is_left: on_writable follows; what comes after is the caller's to watch if not (more may lie there by the time this returns). -1, and
 * errno: EPERM without the role, else `from` or the FIFO is broken and nothing follows. */
ssize_t writer_splice(struct writer *writer, int from, bool *is_left);
/* From now on it has the role only while it writes: 5 s after its last byte (or after the role came) it yields to who waits, and asks
 * again as the last. No timer runs while nobody waits. */
void writer_set_yielding(struct writer *writer);
/* A party that writes beside the writer, without the role: whole texts, one party's after the other's; whoever has the role and wants to
 * write meanwhile waits until the text is over. Of a text no more is written than that 4 KiB lie unread in the FIFO. writer_has_role():
 * it may write. on_role(false): its text was cut by the end of a boot; it cannot write any more. */
int writer_open_beside(struct hub *hub, const char *name, const struct writer_ops *ops, void *ctx, struct writer **out, struct err *err)
	__attribute__((warn_unused_result));
/* Whether the text that is written goes on after what writer_write() gets next: beside only. Where it does and nothing comes for 5 s,
 * others may write. */
void writer_set_more(struct writer *writer, bool more);
void writer_close(struct writer *writer); /* takes NULL; ends its text */
