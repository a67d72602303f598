/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several channels on one output without mixing their lines. One unfinished line is shown as it comes, so that a prompt is seen; what
 * other channels print meanwhile waits. MUX_NAMED puts the channel's name before each line, and a whole line of another channel
 * breaks an unfinished one. MUX_PLAIN adds nothing to the bytes: everything waits until the line is complete or mux_release().
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
/* Something waits. The caller of a MUX_PLAIN releases it after a moment: the line on the output may be a prompt. */
bool mux_is_holding(const struct mux *mux);
void mux_release(struct mux *mux);
/* Nothing more comes: what waits is shown; MUX_NAMED ends unfinished lines. */
void mux_finish(struct mux *mux);
