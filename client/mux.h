/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several channels on one output without mixing their lines. An unfinished line is shown as it comes, so that a prompt is seen; what
 * other channels print meanwhile waits until it is complete or mux_release(). MUX_PLAIN adds nothing to the bytes; MUX_NAMED puts the
 * channel's name before each line, and ends an unfinished line before another channel's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct mux;

enum mux_kind { MUX_PLAIN, MUX_NAMED };

struct mux *mux_new(enum mux_kind kind, void (*write)(void *ctx, const char *bytes, size_t len), void *ctx);
void mux_free(struct mux *mux); /* takes NULL */
/* Adds a channel; returns its number. */
size_t mux_add(struct mux *mux, const char *name);
void mux_write(struct mux *mux, size_t channel, const char *bytes, size_t len);
/* Something waits. The caller releases it after a moment, since the line on the output may be a prompt. */
bool mux_is_holding(const struct mux *mux);
void mux_release(struct mux *mux);
/* Nothing more comes: what waits is shown; MUX_NAMED ends unfinished lines. */
void mux_finish(struct mux *mux);
