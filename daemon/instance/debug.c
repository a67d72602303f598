/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The debugger of an instance: joins the bridge of its channel with a session, and gives the guest back the run state that it had before
 * the debugger came, whichever way that goes. Both facts are in the record before the guest is touched, so that the next daemon can do
 * it for one that was killed. Who pauses or resumes the instance meanwhile changes what it is given back.
 */
#include <stdlib.h>

#include "driver/gdb_session.h"
#include "instance/priv.h"
#include "wire/mem.h"

#define DEBUG_CLEAN_MS  10000 /* for the emulator to forget a debugger's breakpoints */
#define DEBUG_ANSWER_MS 5000  /* for its first answer */

struct debug {
	struct instance *inst;
	struct bridge *bridge;
	struct gdb_session *session;
	struct timer *timer;  /* the clean-up takes too long */
	struct timer *silent; /* no answer since the stub was connected */
	bool is_heard;
	bool is_restoring;
	driver_done_fn on_resumed; /* of a user's resume; NULL: none is under way */
	void *resumed_ctx;
};

/* ---------------------------------------------------------------- before and after */

static bool debug_guest_runs(const struct instance *inst)
{
	return inst->state == INST_BOOTING ? !inst->request->pause : inst->state == INST_RUNNING;
}

static void debug_note(struct debug *debug)
{
	struct instance *inst = debug->inst;
	if (!inst->is_debugged)
		inst->debug_was_running = debug_guest_runs(inst);
	inst->is_debugged = true;
	store_save(inst);
}

static void debug_finish(struct debug *debug)
{
	debug->is_restoring = false;
	timer_disarm(debug->timer);
	if (debug->inst->is_debugged) {
		debug->inst->is_debugged = false;
		store_save(debug->inst);
	}
	gdb_session_restored(debug->session);
	bridge_next(debug->bridge);
}

static void debug_on_restored(void *ctx, const struct err *err)
{
	struct debug *debug = ctx;
	if (err != NULL && err->code != ERR_CANCELLED && err->code != ERR_UNAVAILABLE)
		log_warn(&debug->inst->scope, "it does not run on after its debugger: %s", err->msg);
	if (debug->is_restoring)
		debug_finish(debug);
}

static void debug_hang_up(struct debug *debug)
{
	struct instance *inst = debug->inst;
	bridge_hang_up(debug->bridge);
	if (inst->is_debugged && inst->debug_was_running && inst->link != NULL)
		inst->driver->act(inst->link, DRIVER_RESUME, debug_on_restored, debug);
	else
		debug_finish(debug);
}

static void debug_on_halted(void *ctx, const struct err *err)
{
	struct debug *debug = ctx;
	if (err != NULL && err->code != ERR_CANCELLED && err->code != ERR_UNAVAILABLE)
		log_warn(&debug->inst->scope, "it may run on after its debugger: %s", err->msg);
	if (debug->is_restoring)
		debug_hang_up(debug);
}

/* A guest that is not to run is paused first: a stub may let it go with the connection. */
static void debug_on_clean(void *ctx)
{
	struct debug *debug = ctx;
	struct instance *inst = debug->inst;
	if (debug->is_restoring)
		return;
	timer_disarm(debug->silent);
	debug->is_restoring = true;
	if (inst->is_debugged && !inst->debug_was_running && inst->link != NULL)
		inst->driver->act(inst->link, DRIVER_PAUSE, debug_on_halted, debug);
	else
		debug_hang_up(debug);
}

static void debug_on_timeout(void *ctx)
{
	struct debug *debug = ctx;
	log_warn(&debug->inst->scope, "the emulator did not forget its debugger within %u s", DEBUG_CLEAN_MS / 1000);
	gdb_session_lost(debug->session);
	debug_on_clean(debug);
}

/* Somebody else is connected to the stub's socket, behind the daemon's back. */
static void debug_on_silent(void *ctx)
{
	struct debug *debug = ctx;
	struct err err = ERR_INIT;
	err_set(&err, ERR_UNAVAILABLE, "the emulator does not answer the debugger; perhaps another is connected to its socket");
	log_warn(&debug->inst->scope, "%s", err.msg);
	bridge_end(debug->bridge, &err);
	gdb_session_lost(debug->session);
	debug_on_clean(debug);
}

/* ---------------------------------------------------------------- session */

static void debug_to_debugger(void *ctx, const void *bytes, size_t len)
{
	bridge_send_party(((struct debug *)ctx)->bridge, bytes, len);
}

static void debug_to_stub(void *ctx, const void *bytes, size_t len)
{
	struct debug *debug = ctx;
	if (!debug->is_heard)
		timer_arm(debug->silent, DEBUG_ANSWER_MS);
	bridge_send_emulator(debug->bridge, bytes, len);
}

static bool debug_on_wanted(void *ctx)
{
	struct debug *debug = ctx;
	struct err err = ERR_INIT;
	debug_note(debug);
	if (bridge_connect(debug->bridge, &err) == 0)
		return !bridge_is_connected(debug->bridge);
	log_warn(&debug->inst->scope, "no debugger: %s", err.msg);
	return false;
}

static void debug_on_runs(void *ctx, bool runs)
{
	const struct debug *debug = ctx;
	struct instance *inst = debug->inst;
	if (inst->driver->follow != NULL && inst->link != NULL)
		inst->driver->follow(inst->link, runs, !inst->debug_was_running);
	if (inst->driver->gdb->is_silent)
		boot_guest_runs(inst, runs, runs ? "" : "stopped by the debugger");
}

static void debug_on_close(void *ctx)
{
	bridge_drop_party(((struct debug *)ctx)->bridge);
}

static const struct gdb_session_ops debug_session_ops = {
	.to_debugger = debug_to_debugger,
	.to_stub = debug_to_stub,
	.on_clean = debug_on_clean,
	.on_wanted = debug_on_wanted,
	.on_runs = debug_on_runs,
	.on_close = debug_on_close,
};

/* ---------------------------------------------------------------- bridge */

static void debug_on_coming(void *ctx)
{
	struct debug *debug = ctx;
	debug_note(debug);
	gdb_session_begin(debug->session);
}

static void debug_on_connected(void *ctx)
{
	struct debug *debug = ctx;
	debug->is_heard = false;
	gdb_session_attach(debug->session);
}

static void debug_on_input(void *ctx, const void *bytes, size_t len)
{
	gdb_session_from_debugger(((struct debug *)ctx)->session, bytes, len);
}

static void debug_on_output(void *ctx, const void *bytes, size_t len)
{
	struct debug *debug = ctx;
	debug->is_heard = true;
	timer_disarm(debug->silent);
	gdb_session_from_stub(debug->session, bytes, len);
}

static void debug_on_left(void *ctx)
{
	struct debug *debug = ctx;
	timer_arm(debug->timer, DEBUG_CLEAN_MS);
	gdb_session_leave(debug->session);
}

static void debug_end_resume(struct debug *debug, const struct err *err)
{
	driver_done_fn done = debug->on_resumed;
	debug->on_resumed = NULL;
	if (done != NULL)
		done(debug->resumed_ctx, err);
}

static void debug_on_lost(void *ctx)
{
	struct debug *debug = ctx;
	struct err err = ERR_INIT;
	gdb_session_lost(debug->session);
	timer_disarm(debug->timer);
	timer_disarm(debug->silent);
	debug->inst->is_debugged = debug->is_restoring = false;
	err_set(&err, ERR_CANCELLED, "the emulator has closed the debugger's connection");
	debug_end_resume(debug, &err);
}

static const struct bridge_filter debug_filter = {
	.on_coming = debug_on_coming,
	.on_connected = debug_on_connected,
	.on_input = debug_on_input,
	.on_output = debug_on_output,
	.on_left = debug_on_left,
	.on_lost = debug_on_lost,
	.refusal = gdb_session_refusal,
};

/* ---------------------------------------------------------------- for the instance */

void debug_serve(struct instance *inst, struct bridge_config *config, struct bridge **out)
{
	struct debug *debug = xcalloc(1, sizeof(*debug));
	debug->inst = inst;
	debug->session = gdb_session_new(inst->driver->gdb, &debug_session_ops, debug);
	debug->timer = timer_new(inst->env->base, debug_on_timeout, debug);
	debug->silent = timer_new(inst->env->base, debug_on_silent, debug);
	config->filter = &debug_filter;
	config->filter_ctx = debug;
	debug->bridge = *out = bridge_new(config);
	if (inst->is_debugged) /* by that of an earlier daemon: the clean-up is first */
		bridge_hold(debug->bridge);
	inst->debug = debug;
}

void debug_free(struct debug *debug)
{
	if (debug == NULL)
		return;
	timer_free(debug->timer);
	timer_free(debug->silent);
	gdb_session_free(debug->session);
	free(debug);
}

void debug_clean_adopted(struct instance *inst)
{
	struct debug *debug = inst->debug;
	struct err err = ERR_INIT;
	if (debug == NULL || !inst->is_debugged || bridge_holder(debug->bridge) != NULL || bridge_is_connected(debug->bridge))
		return;
	gdb_session_begin(debug->session);
	if (bridge_connect(debug->bridge, &err) < 0)
		log_warn(&inst->scope, "its debugger's breakpoints may be left: %s", err.msg);
	debug_on_left(debug);
}

bool debug_acts(struct instance *inst, enum driver_action action, driver_done_fn done, void *ctx)
{
	struct debug *debug = inst->debug;
	if (debug == NULL || !inst->is_debugged || action == DRIVER_RESET)
		return false;
	inst->debug_was_running = action == DRIVER_RESUME;
	store_save(inst);
	if ((action == DRIVER_RESUME && gdb_session_runs(debug->session)) ||
	    (action == DRIVER_PAUSE && inst->driver->gdb->is_silent && gdb_session_pause(debug->session))) {
		/* Not by another way than the stub's: it would not understand what is on its way to it while the guest runs. */
		inst->driver->ping(inst->link, DEBUG_ANSWER_MS, done, ctx);
		return true;
	}
	if (action != DRIVER_RESUME || debug->on_resumed != NULL || !gdb_session_resume(debug->session))
		return false;
	if (inst->driver->gdb->is_silent) { /* it has told already */
		inst->driver->ping(inst->link, DEBUG_ANSWER_MS, done, ctx);
		return true;
	}
	debug->on_resumed = done;
	debug->resumed_ctx = ctx;
	return true;
}

void debug_guest_resumed(struct instance *inst)
{
	if (inst->debug != NULL)
		debug_end_resume(inst->debug, NULL);
}
