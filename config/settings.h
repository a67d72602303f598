/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's own settings, from pwemud.json: one table of keys in settings.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire/err.h"

struct settings {
	uint32_t port_first, port_last; /* TCP ports that endpoints get when none was asked for */
	uint64_t log_limit_bytes;       /* newest bytes kept of a channel, where the target says nothing */
	bool log_drop_oldest;           /* on a full disk: the oldest data of the channel goes; else the emulator waits */
	uint64_t keep_ms;               /* ended instances and their logs: this long */
	uint64_t keep_bytes;            /* … and together at most this many bytes on disk, oldest first */
};

/* The defaults. */
void settings_init(struct settings *settings);
