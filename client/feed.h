/* SPDX-License-Identifier: Apache-2.0 */
/* One channel as the client sees it: the stream of its bytes, and with `attach` also the way in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pwemu/v1/channels.pb-c.h"
#include "wire/err.h"

struct conn;
struct feed;

struct feed_ops {
	void (*on_data)(void *ctx, struct feed *feed, const Pwemu__V1__Data *data);
	/* Attached; the strings are valid until this returns. May be NULL. */
	void (*on_opened)(void *ctx, struct feed *feed, const Pwemu__V1__AttachOpened *opened);
	/* The writer role came or went. May be NULL. */
	void (*on_writer)(void *ctx, struct feed *feed, bool writer, const char *reason);
	/* Input can be sent again. May be NULL. */
	void (*on_writable)(void *ctx, struct feed *feed);
	/* With `attach`: so many bytes were handed to the emulator, since this feed was opened. May be NULL. */
	void (*on_taken)(void *ctx, struct feed *feed, uint64_t bytes);
	/* It is over: ERR_OK when the channel has ended. Last callback; not called after feed_free. */
	void (*on_end)(void *ctx, struct feed *feed, const struct err *status);
};

struct feed_config {
	const char *instance_id;
	const char *channel; /* NULL: the default one */
	Pwemu__V1__Position from;
	bool attach;                  /* Channels.Attach, else Channels.Read */
	bool write, steal, beside;    /* with attach */
	bool follow, times, one_boot; /* without */
};

struct feed *feed_new(struct conn *conn, const struct feed_config *config, const struct feed_ops *ops, void *ctx);
void feed_free(struct feed *feed); /* takes NULL; cancels what is open; may be called from on_end and any other callback */

bool feed_has_ended(const struct feed *feed);
bool feed_is_writer(const struct feed *feed);
uint64_t feed_offset(const struct feed *feed); /* of the next byte */
void feed_pause(struct feed *feed);
void feed_resume(struct feed *feed);
bool feed_can_send(const struct feed *feed);
void feed_send(struct feed *feed, const void *bytes, size_t len);
/* A part of a text that is written `beside`; without `more` the last, which may be empty. */
void feed_send_part(struct feed *feed, const void *bytes, size_t len, bool more);

/* What a new feed needs to go on where this one has ended. The strings are this one's. */
struct feed_config feed_continuation(const struct feed *feed);

/* Attaches again from where it is, taking the writer role. */
void feed_steal(struct feed *feed);
