/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several channels on one output, line by line, each line with its channel's name before it. One unfinished line is shown as it comes;
 * others wait until they are complete or the shown one is, so that a prompt is seen and lines are never mixed.
 */
#pragma once

#include <stddef.h>

struct mux;

struct mux *mux_new(void (*write)(void *ctx, const char *bytes, size_t len), void *ctx);
void mux_free(struct mux *mux); /* takes NULL */
/* Adds a channel; returns its number. */
size_t mux_add(struct mux *mux, const char *name);
void mux_write(struct mux *mux, size_t channel, const char *bytes, size_t len);
/* Nothing more comes: unfinished lines are shown and ended. */
void mux_finish(struct mux *mux);
