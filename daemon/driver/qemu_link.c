/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QMP: qmp_capabilities, query-status, and on_ready after one of them. The daemon's own QMP connection is used by nobody else.
 */
#include "driver/qemu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "driver/gdb_session.h"
#include "driver/qemu_int.h"
#include "driver/qmp.h"
#include "wire/addr.h"
#include "wire/mem.h"

#define QEMU_BEGIN_TIMEOUT_MS 60000 /* from before it is even executed */

struct qemu_request {
	driver_done_fn done;
	void *ctx;
};

static void link_event_stop(struct driver_link *link, struct json_object *data)
{
	(void)data;
	link->is_unsure = false;
	link->events->on_paused(link->ctx, "paused");
}

static void link_event_resume(struct driver_link *link, struct json_object *data)
{
	(void)data;
	link->is_unsure = false;
	link->events->on_resumed(link->ctx);
}

static void link_set_ready(struct driver_link *link, bool paused)
{
	link->is_ready = true;
	link->events->on_ready(link->ctx, paused);
}

/* Of one that was taken to be ready it says how it really is, unless an event has said so meanwhile. */
static void link_on_state(struct driver_link *link, bool runs)
{
	if (!link->is_ready)
		link_set_ready(link, !runs);
	else if (link->is_unsure && runs == link->starts_paused)
		(runs ? link_event_resume : link_event_stop)(link, NULL);
	link->is_unsure = false;
}

static void link_on_status(void *ctx, struct json_object *value, const struct err *err)
{
	struct driver_link *link = ctx;
	if (err != NULL && err->code == ERR_DEADLINE_EXCEEDED) { /* stopped by somebody (SIGSTOP); it may go on */
		qmp_execute(link->qmp, "query-status", NULL, QEMU_COMMAND_TIMEOUT_MS, link_on_status, link);
		return;
	}
	if (err != NULL) {
		if (err->code != ERR_CANCELLED && err->code != ERR_UNAVAILABLE)
			link->events->on_lost(link->ctx, err);
		return;
	}
	link_on_state(link, qmp_bool(value, "running"));
}

/* What is asked of QEMU first stands in its socket before it looks there, so that nothing of ours can overtake it. */
static void link_on_greeting(void *ctx, const char *version)
{
	struct driver_link *link = ctx;
	link->events->on_version(link->ctx, version);
}

/* QEMU reads its commands byte by byte, and the guest is on its way: where nothing but what we said decides whether it runs, that is
 * believed before it is confirmed. */
static void link_on_capabilities(void *ctx, struct json_object *value, const struct err *err)
{
	struct driver_link *link = ctx;
	(void)value;
	if (err == NULL && link->is_unsure)
		link_set_ready(link, link->starts_paused);
}

static void link_begin(struct driver_link *link)
{
	qmp_execute(link->qmp, "qmp_capabilities", NULL, QEMU_BEGIN_TIMEOUT_MS, link_on_capabilities, link);
	qmp_execute(link->qmp, "query-status", NULL, QEMU_COMMAND_TIMEOUT_MS, link_on_status, link);
}

static void link_event_reset(struct driver_link *link, struct json_object *data)
{
	bool by_guest = qmp_bool(data, "guest");
	link->events->on_reset(link->ctx, by_guest);
	if (!by_guest)
		qemu_load_on_reset(link);
}

static void link_event_shutdown(struct driver_link *link, struct json_object *data)
{
	link->events->on_shutdown(link->ctx, qmp_string(data, "reason"));
}

static void link_event_panic(struct driver_link *link, struct json_object *data)
{
	(void)data;
	link->events->on_paused(link->ctx, "the guest panicked");
}

static const struct {
	const char *name;
	void (*handle)(struct driver_link *link, struct json_object *data);
} link_events[] = {
	{ "STOP", link_event_stop },         { "RESUME", link_event_resume },        { "RESET", link_event_reset },
	{ "SHUTDOWN", link_event_shutdown }, { "GUEST_PANICKED", link_event_panic },
};

static void link_on_event(void *ctx, const char *name, struct json_object *data)
{
	struct driver_link *link = ctx;
	for (size_t i = 0; i < sizeof(link_events) / sizeof(link_events[0]); i++)
		if (strcmp(link_events[i].name, name) == 0)
			link_events[i].handle(link, data);
}

static void link_on_closed(void *ctx, const struct err *err)
{
	struct driver_link *link = ctx;
	link->events->on_lost(link->ctx, err);
}

static const struct qmp_ops link_qmp_ops = { .on_greeting = link_on_greeting, .on_event = link_on_event, .on_closed = link_on_closed };

static int link_open(const char *run_path, const char *name, int *fd, struct err *err)
{
	char *path = xasprintf("%s/%s.sock", run_path, name);
	int rc = addr_connect_unix_now(path, fd, err);
	free(path);
	return rc;
}

static int qemu_connect(const struct driver_boot *boot, const struct driver_events *events, void *ctx, struct driver_link **out,
			struct err *err)
{
	int fd;
	int rc = link_open(boot->run_path, "control", &fd, err);
	if (rc < 0 && err->sys == ENOENT)
		rc = link_open(boot->run_path, "qmp", &fd, err); /* its name in emulators of earlier daemons */
	if (rc < 0)
		return err_prefix(err, "QMP");
	struct driver_link *link = xcalloc(1, sizeof(*link));
	link->events = events;
	link->ctx = ctx;
	link->base = boot->base;
	link->run_path = xstrdup(boot->run_path);
	link->starts_paused = boot->request->pause;
	link->is_unsure = !boot->is_adopted && boot->target->qemu != NULL && boot->target->qemu->n_args == 0 && boot->request->n_args == 0;
	link->qmp = qmp_new(boot->base, fd, &link_qmp_ops, link);
	link_begin(link);
	*out = link;
	return 0;
}

static void qemu_drain(struct driver_link *link)
{
	qmp_drain(link->qmp);
}

static void qemu_disconnect(struct driver_link *link)
{
	if (link == NULL)
		return;
	qemu_load_cancel(link);
	qmp_free(link->qmp);
	qemu_typed_clear(&link->typed);
	free(link->run_path);
	free(link);
}

static void link_on_acted(void *ctx, struct json_object *value, const struct err *err)
{
	(void)value;
	struct qemu_request *request = ctx;
	request->done(request->ctx, err);
	free(request);
}

static const char *const action_commands[] = {
	[DRIVER_PAUSE] = "stop",
	[DRIVER_RESUME] = "cont",
	[DRIVER_RESET] = "system_reset",
};
_Static_assert(sizeof(action_commands) / sizeof(action_commands[0]) == DRIVER_ACTION_COUNT, "a command for every action");

static void link_ask(struct driver_link *link, const char *command, uint32_t timeout_ms, driver_done_fn done, void *ctx)
{
	struct qemu_request *request = xcalloc(1, sizeof(*request));
	*request = (struct qemu_request){ .done = done, .ctx = ctx };
	qmp_execute(link->qmp, command, NULL, timeout_ms, link_on_acted, request);
}

static void qemu_act(struct driver_link *link, enum driver_action action, driver_done_fn done, void *ctx)
{
	link_ask(link, action_commands[action], QEMU_COMMAND_TIMEOUT_MS, done, ctx);
}

static void qemu_ping(struct driver_link *link, uint32_t timeout_ms, driver_done_fn done, void *ctx)
{
	link_ask(link, "query-status", timeout_ms, done, ctx);
}

static void link_on_nudged(void *ctx, struct json_object *value, const struct err *err)
{
	(void)value;
	if (err == NULL || err->code != ERR_CANCELLED)
		((struct driver_link *)ctx)->is_nudging = false;
}

/* Any command makes QEMU's main loop turn, which is when some UARTs take input. */
static void qemu_nudge(struct driver_link *link)
{
	if (!link->is_ready || link->is_nudging)
		return;
	link->is_nudging = true;
	qmp_execute(link->qmp, "query-status", NULL, QEMU_COMMAND_TIMEOUT_MS, link_on_nudged, link);
}

static const char *qemu_executable(const Pwemu__V1__Target *target, struct err *err)
{
	if (target->qemu != NULL && target->qemu->executable[0] != '\0' && target->qemu->machine[0] != '\0')
		return target->qemu->executable;
	err_set(err, ERR_INVALID_ARGUMENT, "target \"%s\": qemu needs \"executable\" and \"machine\"", target->name);
	return NULL;
}

static const struct gdb_dialect qemu_gdb = { .reset = "system_reset" };

const struct driver_ops qemu_driver = {
	.name = "qemu",
	.install = "Debian: apt-get install qemu-system-arm qemu-system-misc",
	.gdb = &qemu_gdb,
	.executable = qemu_executable,
	.plan = qemu_plan,
	.connect = qemu_connect,
	.drain = qemu_drain,
	.disconnect = qemu_disconnect,
	.act = qemu_act,
	.ping = qemu_ping,
	.load = qemu_load_begin,
	.list_properties = qemu_list_properties,
	.get_property = qemu_get_property,
	.set_property = qemu_set_property,
	.nudge = qemu_nudge,
	.classify = qemu_classify,
};
