/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A non-blocking byte stream on a file descriptor, driven by libevent: what HTTP/2 stands on. Output is collected in an evbuffer
 * and written when the owner says so; input arrives in pieces of at most IO_READ_BYTES. Under TLS the same struct stands on a bufferevent
 * of the TLS module (io_tls.c).
 *
 * Each callback is the last thing done with the io on that stack, so it may call io_fini() and free the memory around it.
 */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IO_READ_BYTES (64 << 10)
#define IO_HIGH_BYTES (256 << 10) /* producers stop above this */

struct evbuffer;
struct io_tls;
struct tls_link;

struct io_ops {
	void (*on_input)(void *ctx, const uint8_t *data, size_t len);
	/* The output that blocked has left. */
	void (*on_drained)(void *ctx);
	/* The other end is gone (sys 0) or the socket is broken. Once; no other callback follows. */
	void (*on_lost)(void *ctx, int sys);
};

struct io {
	int fd;
	bool hold_when_blocked; /* no input is read while output waits for the peer */
	bool is_blocked;
	bool is_write_broken;
	uint64_t written; /* not under TLS: io_written() */
	struct evbuffer *out;
	const struct io_ops *ops;
	void *ctx;
	struct io_tls *tls; /* NULL: a plain socket, with these events */
	struct event read_event;
	struct event write_event;
};

/* Takes the fd. hold_when_blocked must be set on one side only: two that wait for each other never move again. */
void io_init(struct io *io, struct event_base *base, int fd, bool hold_when_blocked, const struct io_ops *ops, void *ctx);
/* The same under TLS; the bufferevent of the link is the io's. */
void io_init_tls(struct io *io, const struct tls_link *link, bool hold_when_blocked, const struct io_ops *ops, void *ctx);
void io_fini(struct io *io); /* closes the fd; may be called twice */

size_t io_queued(const struct io *io);
uint64_t io_written(const struct io *io); /* bytes the kernel has taken; grows only */
/* Common name of the client's verified certificate, owned by the caller; NULL: there is none. */
char *io_subject(const struct io *io);
/* Tells the other end that nothing more comes; it can still send. */
void io_end_output(struct io *io);
/* Writes as much of io->out as the kernel takes now; the rest follows by itself. No callback is run. */
void io_write(struct io *io);
