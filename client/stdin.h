/* SPDX-License-Identifier: Apache-2.0 */
/* stdin as the loop reads it; its flags are not changed for others that share it. Paused until stdin_resume. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct event_base;
struct stdin_reader;

struct stdin_ops {
	void (*on_bytes)(void *ctx, const char *bytes, size_t len);
	/* No more will come: end of file or an error. Once. */
	void (*on_end)(void *ctx);
};

struct stdin_reader *stdin_new(struct event_base *base, const struct stdin_ops *ops, void *ctx);
void stdin_free(struct stdin_reader *reader); /* takes NULL */
void stdin_pause(struct stdin_reader *reader);
void stdin_resume(struct stdin_reader *reader);
