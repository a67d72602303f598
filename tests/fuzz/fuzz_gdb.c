/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a conversation between a debugger and a gdb stub: the first byte says which dialect, then each line's first byte says whose
 * the rest is, or what else happens.
 * Entry point of libFuzzer (make fuzz); a unit test replays the corpus through it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/gdb_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct gdb_session *session;
	size_t sent;
};

static void on_bytes(void *ctx, const void *bytes, size_t len)
{
	struct fuzz *fuzz = ctx;
	for (size_t i = 0; i < len; i++)
		fuzz->sent += ((const uint8_t *)bytes)[i];
}

static void on_clean(void *ctx)
{
	struct fuzz *fuzz = ctx;
	gdb_session_lost(fuzz->session);
	gdb_session_restored(fuzz->session);
}

static bool on_wanted(void *ctx)
{
	struct fuzz *fuzz = ctx;
	if (fuzz->sent % 2 == 0)
		gdb_session_attach(fuzz->session);
	return fuzz->sent % 3 == 0;
}

static void on_runs(void *ctx, bool runs)
{
	((struct fuzz *)ctx)->sent += runs;
}

static void on_close(void *ctx)
{
	((struct fuzz *)ctx)->sent++;
}

static void step(struct fuzz *fuzz, const uint8_t *line, size_t len)
{
	struct gdb_session *session = fuzz->session;
	switch (line[0]) {
	case '>':
		gdb_session_from_stub(session, line + 1, len - 1);
		break;
	case 'l':
		gdb_session_leave(session);
		break;
	case 'x':
		gdb_session_lost(session);
		break;
	case 'b':
		gdb_session_begin(session);
		gdb_session_attach(session);
		break;
	case 'r':
		(void)gdb_session_resume(session);
		break;
	case 'p':
		(void)gdb_session_pause(session);
		break;
	default:
		gdb_session_from_debugger(session, line + 1, len - 1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct gdb_dialect dialects[2] = {
		{ .reset = "system_reset" },
		{ .reset = "machine Reset", .keeps_breakpoints = true, .is_silent = true },
	};
	static const struct gdb_session_ops ops = { on_bytes, on_bytes, on_clean, on_wanted, on_runs, on_close };
	struct fuzz fuzz = { 0 };
	if (size == 0)
		return 0;
	fuzz.session = gdb_session_new(&dialects[data[0] % 2], &ops, &fuzz);
	gdb_session_begin(fuzz.session);
	gdb_session_attach(fuzz.session);
	for (size_t at = 1; at < size;) {
		const uint8_t *end = memchr(data + at, '\n', size - at);
		size_t len = end != NULL ? (size_t)(end - data) - at : size - at;
		if (len > 0)
			step(&fuzz, data + at, len);
		at += len + 1;
	}
	gdb_session_free(fuzz.session);
	return 0;
}
