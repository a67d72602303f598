/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console of a boot. A fresh one: the first prompt, the commands of the set-up one by one, the terminals, `start`, on_ready. Of an
 * adopted one the shim tells by holding RENODE_SET_UP whether the set-up was complete; where it was not, it is cleared and set up anew,
 * since nothing of the guest has run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dirs.h"
#include "driver/gdb_session.h"
#include "driver/renode_cpus.h"
#include "driver/renode_int.h"
#include "loop/netport.h"
#include "wire/mem.h"

#define RENODE_SET_UP      "set-up" /* held by the shim: the board is made, `start` follows or has come */
#define RENODE_DRAIN_TURNS 100
#define RENODE_REST_MS     1500 /* for the last pause; it hangs where the guest is frozen */
#define RENODE_QUIT_MS     500  /* for `quit`; then comes EOF, then signals */

/* The command was not answered because the link goes. */
static bool link_is_gone(const struct err *err)
{
	return err != NULL && (err->code == ERR_CANCELLED || err->code == ERR_UNAVAILABLE);
}

/* ---------------------------------------------------------------- run state */

void renode_set_started(struct driver_link *link, bool is_started)
{
	link->is_started = is_started;
	if (!link->is_ready)
		return;
	if (is_started)
		link->events->on_resumed(link->ctx);
	else
		link->events->on_paused(link->ctx, "paused");
}

static void link_on_look(void *ctx, const char *text, const struct err *err)
{
	struct driver_link *link = ctx;
	bool is_started = strcmp(text, "True") == 0;
	if (err == NULL && link->gdb == NULL && is_started != link->is_started)
		renode_set_started(link, is_started);
}

void renode_look(struct driver_link *link)
{
	monitor_ask(link->monitor, "emulation IsStarted", RENODE_COMMAND_TIMEOUT_MS, link_on_look, link);
}

/* ---------------------------------------------------------------- set-up */

static void link_refuse(struct driver_link *link, struct err *err)
{
	if (!link_is_gone(err)) /* else on_closed says it, or nobody wants to know */
		link->events->on_refused(link->ctx, err);
}

static void link_tell_ready(struct driver_link *link)
{
	link->is_ready = true;
	link->events->on_ready(link->ctx, !link->is_started);
}

static void link_on_started(void *ctx, const char *text, const struct err *err)
{
	(void)text;
	struct driver_link *link = ctx;
	struct err told = err != NULL ? *err : (struct err)ERR_INIT;
	if (err != NULL) {
		link_refuse(link, &told);
		return;
	}
	link->is_started = true;
	link_tell_ready(link);
}

static void link_begin_guest(struct driver_link *link)
{
	if (link->request->pause)
		link_tell_ready(link);
	else
		monitor_ask(link->monitor, "start", RENODE_COMMAND_TIMEOUT_MS, link_on_started, link);
}

static void link_on_set_up(struct driver_link *link)
{
	struct err err = ERR_INIT;
	int console = -1;
	if (renode_uarts_open(link, false, &err) < 0 || link->events->held(link->ctx, DRIVER_CONSOLE, &console, &err) < 0 ||
	    link->events->hold(link->ctx, RENODE_SET_UP, console, &err) < 0)
		link_refuse(link, &err);
	else
		link_begin_guest(link);
	if (console >= 0)
		close(console);
}

static void link_next_step(struct driver_link *link);

static void link_on_step(void *ctx, const char *text, const struct err *err)
{
	(void)text;
	struct driver_link *link = ctx;
	struct err told = err != NULL ? *err : (struct err)ERR_INIT;
	bool is_download = err != NULL && strstr(err->msg, "Failed to download") != NULL, is_private = netport_is_private(link->pid);
	if (is_download && !is_private) /* the host is offline: the board lacks what was to come, as it does for anybody there */
		link->events->on_trouble(link->ctx, NULL, err);
	if (err == NULL || (is_download && !is_private)) {
		link->step++;
		link_next_step(link);
		return;
	}
	if (is_download)
		err_set(&told, err->code,
			"%.400s; this Renode has a network of its own without a way out: \"isolate\": \"off\" gives it the host's",
			err->msg);
	err_prefix(&told, "Renode: %.160s", link->setup->items[link->step]);
	link_refuse(link, &told);
}

static void link_on_tree(void *ctx, const char *text, const struct err *err)
{
	struct driver_link *link = ctx;
	struct err told = err != NULL ? *err : (struct err)ERR_INIT;
	bool is_cortex_m;
	if (err == NULL && (link->cpu = renode_first_cpu(text, &is_cortex_m)) == NULL)
		err_set(&told, ERR_FAILED_PRECONDITION,
			"no processor is among Renode's peripherals, so that nothing can begin in the image");
	if (err_is_set(&told))
		link_refuse(link, &told);
	else
		link_next_step(link);
}

static void link_ask_step(struct driver_link *link, const char *step)
{
	const char *place = strstr(step, RENODE_FIRST_CPU);
	if (place == NULL) {
		monitor_ask(link->monitor, step, RENODE_SETUP_TIMEOUT_MS, link_on_step, link);
	} else if (link->cpu == NULL) {
		monitor_ask(link->monitor, "peripherals", RENODE_SETUP_TIMEOUT_MS, link_on_tree, link);
	} else {
		char *command = xasprintf("%.*s%s%s", (int)(place - step), step, link->cpu, place + strlen(RENODE_FIRST_CPU));
		link_ask_step(link, command);
		free(command);
	}
}

static void link_next_step(struct driver_link *link)
{
	if (link->step < link->setup->count)
		link_ask_step(link, link->setup->items[link->step]);
	else
		link_on_set_up(link);
}

static void link_on_prompt(void *ctx)
{
	link_next_step(ctx);
}

/* ---------------------------------------------------------------- adoption */

static void link_on_found(void *ctx, const char *text, const struct err *err)
{
	struct driver_link *link = ctx;
	if (err != NULL && err->code == ERR_DEADLINE_EXCEEDED) { /* stopped by somebody (SIGSTOP); it may go on */
		monitor_ask(link->monitor, "emulation IsStarted", RENODE_COMMAND_TIMEOUT_MS, link_on_found, link);
		return;
	}
	if (err != NULL) {
		if (!link_is_gone(err))
			link->events->on_lost(link->ctx, err);
		return;
	}
	link->is_started = strcmp(text, "True") == 0;
	if (link->is_started || link->was_ready)
		link_tell_ready(link);
	else
		link_begin_guest(link); /* the earlier daemon did not get that far */
}

static void link_on_cleared(void *ctx, const char *text, const struct err *err)
{
	(void)text;
	struct driver_link *link = ctx;
	struct err told = err != NULL ? *err : (struct err)ERR_INIT;
	if (err == NULL)
		link_next_step(link);
	else
		link_refuse(link, &told);
}

static void link_adopt(struct driver_link *link)
{
	struct err err = ERR_INIT;
	int marker = -1;
	bool is_set_up = link->events->held(link->ctx, RENODE_SET_UP, &marker, &err) == 0;
	if (marker >= 0)
		close(marker);
	if (!is_set_up) {
		monitor_ask(link->monitor, "Clear", RENODE_SETUP_TIMEOUT_MS, link_on_cleared, link);
		return;
	}
	link->step = link->setup->count;
	if (renode_uarts_open(link, true, &err) < 0)
		link->events->on_trouble(link->ctx, NULL, &err);
	renode_select(link, NULL); /* a user may have had another */
	renode_gdb_clean(link);
	monitor_ask(link->monitor, "emulation IsStarted", RENODE_COMMAND_TIMEOUT_MS, link_on_found, link);
}

/* ---------------------------------------------------------------- connection */

/* What a Renode that ends at once has printed on its console (it does not like an option: its usage) goes to where its other messages are,
 * so that whoever looks for why it ended finds it. */
static void link_pass_words(struct driver_link *link)
{
	const char *words = monitor_words(link->monitor);
	int fd = openat(link->run_dir, "emulator.out", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd >= 0 ? write(fd, words, strlen(words)) : -1;
	(void)n;
	if (fd >= 0)
		close(fd);
}

static void link_on_closed(void *ctx, const struct err *err)
{
	struct driver_link *link = ctx;
	if (!link->is_ready && !link->was_ready)
		link_pass_words(link);
	if (!link->was_ready && link->step < link->setup->count)
		link->events->on_shutdown(link->ctx, RENODE_NEVER_RAN);
	link->events->on_lost(link->ctx, err);
}

static const struct monitor_ops link_monitor_ops = { .on_prompt = link_on_prompt, .on_closed = link_on_closed };

static int renode_connect(const struct driver_boot *boot, const struct driver_events *events, void *ctx, struct driver_link **out,
			  struct err *err)
{
	int console;
	if (events->held(ctx, DRIVER_CONSOLE, &console, err) < 0)
		return err_prefix(err, "Renode's console");
	struct driver_link *link = xcalloc(1, sizeof(*link));
	*link = (struct driver_link){
		.events = events,
		.ctx = ctx,
		.base = boot->base,
		.run_path = xstrdup(boot->run_path),
		.run_dir = fcntl(boot->run_dir, F_DUPFD_CLOEXEC, 3),
		.target = boot->target,
		.request = boot->request,
		.setup = boot->setup,
		.own_dir = -1,
		.uid = boot->uid,
		.pid = boot->pid,
		.was_ready = boot->was_ready,
	};
	if (dirs_open_in(boot->run_dir, RENODE_DIR, O_RDONLY | O_DIRECTORY, &link->own_dir, err) < 0)
		*err = (struct err)ERR_INIT; /* of an earlier version: what is to be opened in there is held by the shim */
	link->monitor = monitor_new(boot->base, console, !boot->is_adopted, &link_monitor_ops, link);
	*out = link;
	if (boot->is_adopted)
		link_adopt(link);
	else
		(void)unlinkat(link->own_dir, RENODE_LOG, 0); /* of the boot before: an older one would be kept beside it */
	return 0;
}

static void renode_drain(struct driver_link *link)
{
	monitor_drain(link->monitor);
	(void)renode_uarts_drain(link);
}

static void renode_disconnect(struct driver_link *link)
{
	if (link == NULL)
		return;
	renode_load_cancel(link);
	renode_gdb_cancel(link);
	renode_user_close(link);
	monitor_free(link->monitor);
	renode_uarts_close(link);
	if (link->run_dir >= 0)
		close(link->run_dir);
	if (link->own_dir >= 0)
		close(link->own_dir);
	free(link->cpu);
	free(link->run_path);
	free(link);
}

/* ---------------------------------------------------------------- actions */

struct renode_act {
	struct driver_link *link;
	enum driver_action action;
	driver_done_fn done;
	void *ctx;
};

static const char *const act_commands[] = {
	[DRIVER_PAUSE] = "pause",
	[DRIVER_RESUME] = "start",
	[DRIVER_RESET] = "machine Reset",
};
_Static_assert(sizeof(act_commands) / sizeof(act_commands[0]) == DRIVER_ACTION_COUNT, "a command for every action");

static void act_finish(struct renode_act *act, const struct err *err)
{
	act->done(act->ctx, err);
	free(act);
}

static void act_on_restarted(void *ctx, const char *text, const struct err *err)
{
	(void)text;
	act_finish(ctx, err);
}

/* A pause may have come between the reset and its start. */
static void act_on_started_again(void *ctx, const char *text, const struct err *err)
{
	(void)text;
	struct renode_act *act = ctx;
	if (err == NULL && !act->link->is_started)
		monitor_ask(act->link->monitor, "pause", RENODE_COMMAND_TIMEOUT_MS, act_on_restarted, act);
	else
		act_finish(act, err);
}

static void act_on_done(void *ctx, const char *text, const struct err *err)
{
	(void)text;
	struct renode_act *act = ctx;
	struct driver_link *link = act->link;
	if (err != NULL) {
		act_finish(act, err);
		return;
	}
	if (act->action == DRIVER_PAUSE)
		(void)renode_uarts_drain(link); /* so that no output comes long after the answer */
	if (act->action != DRIVER_RESET) {
		renode_set_started(link, act->action == DRIVER_RESUME); /* also to one that was there: a debugger may have halted it */
		act_finish(act, NULL);
		return;
	}
	link->events->on_reset(link->ctx, false);
	if (link->is_started) /* a reset without a macro halts the processor */
		monitor_ask(link->monitor, "start", RENODE_COMMAND_TIMEOUT_MS, act_on_started_again, act);
	else
		act_finish(act, NULL);
}

static void renode_act(struct driver_link *link, enum driver_action action, driver_done_fn done, void *ctx)
{
	struct renode_act *act = xcalloc(1, sizeof(*act));
	*act = (struct renode_act){ link, action, done, ctx };
	monitor_ask(link->monitor, act_commands[action], RENODE_COMMAND_TIMEOUT_MS, act_on_done, act);
}

/* A user's command takes the time it takes (an emulation that is run for a minute): whoever waits behind it has not found a hang. */
static void renode_ping(struct driver_link *link, uint32_t timeout_ms, driver_done_fn done, void *ctx)
{
	if (link->users_commands > 0) {
		done(ctx, NULL);
		return;
	}
	struct renode_act *act = xcalloc(1, sizeof(*act));
	*act = (struct renode_act){ link, DRIVER_ACTION_COUNT, done, ctx };
	monitor_ask(link->monitor, "emulation IsStarted", timeout_ms, act_on_restarted, act);
}

/* ---------------------------------------------------------------- the end */

static void link_on_quit(void *ctx, const char *text, const struct err *err)
{
	(void)text;
	struct driver_link *link = ctx;
	if (err != NULL && err->code == ERR_DEADLINE_EXCEEDED)
		monitor_close_input(link->monitor);
}

struct renode_quit {
	struct driver_link *link;
	const char *why;
	int turns; /* of the loop, for what the FIFOs did not take at once */
};

/* The guest rests: what its UARTs have printed lies in the terminals. */
static void quit_on_paused(void *ctx, const char *text, const struct err *err)
{
	(void)text;
	struct renode_quit *quit = ctx;
	struct driver_link *link = quit->link;
	if (link_is_gone(err)) {
		free(quit);
		return;
	}
	bool is_empty = renode_uarts_drain(link);
	if (err == NULL && !is_empty && quit->turns++ < RENODE_DRAIN_TURNS) {
		monitor_ask(link->monitor, "emulation IsStarted", RENODE_COMMAND_TIMEOUT_MS, quit_on_paused, quit);
		return;
	}
	if (err == NULL && is_empty)
		link->events->on_shutdown(link->ctx, quit->why);
	monitor_ask(link->monitor, "quit", RENODE_QUIT_MS, link_on_quit, link);
	free(quit);
}

void renode_quit_for(struct driver_link *link, const char *why)
{
	if (link->is_quitting)
		return;
	link->is_quitting = true;
	struct renode_quit *quit = xcalloc(1, sizeof(*quit));
	*quit = (struct renode_quit){ link, why, 0 };
	monitor_ask(link->monitor, "pause", RENODE_REST_MS, quit_on_paused, quit);
}

static void renode_quit(struct driver_link *link)
{
	renode_quit_for(link, RENODE_QUIT);
}

/* ---------------------------------------------------------------- channels */

/* By kind; the others have no opener. */
static const struct {
	void (*open)(struct driver_link *link, driver_open_fn done, void *ctx);
	void (*close)(struct driver_link *link);
} link_channels[CHANNEL_KIND_COUNT] = {
	[CHANNEL_GDB] = { renode_gdb_open, renode_gdb_close },
	[CHANNEL_MONITOR] = { renode_user_open, renode_user_close },
};

static void renode_open(struct driver_link *link, enum channel_kind kind, driver_open_fn done, void *ctx)
{
	link_channels[kind].open(link, done, ctx);
}

static void renode_close(struct driver_link *link, enum channel_kind kind)
{
	link_channels[kind].close(link);
}

static const char *renode_executable(const Pwemu__V1__Target *target, struct err *err)
{
	if (target->renode != NULL && target->renode->executable[0] != '\0' && target->renode->machine[0] != '\0')
		return target->renode->executable;
	err_set(err, ERR_INVALID_ARGUMENT, "target \"%s\": renode needs \"executable\" and \"machine\"", target->name);
	return NULL;
}

static const struct gdb_dialect renode_gdb = { .reset = "machine Reset", .keeps_breakpoints = true, .is_silent = true };

const struct driver_ops renode_driver = {
	.name = "renode",
	.install = "from its releases: https://renode.io",
	.gdb = &renode_gdb,
	.executable = renode_executable,
	.plan = renode_plan,
	.connect = renode_connect,
	.drain = renode_drain,
	.disconnect = renode_disconnect,
	.act = renode_act,
	.ping = renode_ping,
	.load = renode_load_begin,
	.list_properties = renode_list_properties,
	.get_property = renode_get_property,
	.set_property = renode_set_property,
	.quit = renode_quit,
	.follow = renode_gdb_follow,
	.open = renode_open,
	.close = renode_close,
	.classify = renode_classify,
};
