/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/driver.h"

#include <stdio.h>
#include <string.h>

#include "driver/qemu.h"
#include "driver/renode.h"

static const struct driver_ops *const drivers[] = { &qemu_driver, &renode_driver };

static const char *const kind_names[] = {
	[CHANNEL_SERIAL] = "serial",   [CHANNEL_SEMIHOSTING] = "semihosting", [CHANNEL_EMULATOR] = "emulator",
	[CHANNEL_GDB] = "gdb",         [CHANNEL_MONITOR] = "monitor",         [CHANNEL_QMP] = "qmp",
	[CHANNEL_CONTROL] = "control",
};
_Static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == CHANNEL_KIND_COUNT, "a name for every kind");

const char *channel_kind_name(enum channel_kind kind)
{
	return kind_names[kind];
}

void plan_init(struct plan *plan)
{
	plan->channel_count = 0;
	plan->socket_count = 0;
	plan->argument_count = 0;
	plan->has_console = false;
	plan->network = PROC_NETWORK_HOST;
	plan->is_confined = false;
	plan->nofile = 0;
	strv_init(&plan->argv);
	strv_init(&plan->setup);
	strv_init(&plan->env);
	strv_init(&plan->usual_env);
	strv_init(&plan->dirs);
}

void plan_fini(struct plan *plan)
{
	strv_fini(&plan->argv);
	strv_fini(&plan->setup);
	strv_fini(&plan->env);
	strv_fini(&plan->usual_env);
	strv_fini(&plan->dirs);
}

struct plan_channel *plan_add_channel(struct plan *plan, const char *name, enum channel_kind kind, bool has_input)
{
	if (plan->channel_count == PLAN_CHANNELS_MAX)
		return NULL;
	struct plan_channel *channel = &plan->channels[plan->channel_count++];
	*channel =
		(struct plan_channel){ .kind = kind, .has_input = has_input, .out_child_fd = -1, .out_child_fd2 = -1, .in_child_fd = -1 };
	snprintf(channel->name, sizeof(channel->name), "%s", name);
	return channel;
}

struct plan_socket *plan_add_socket(struct plan *plan, const char *name, enum channel_kind kind, int child_fd)
{
	if (plan->socket_count == PLAN_SOCKETS_MAX)
		return NULL;
	struct plan_socket *sock = &plan->sockets[plan->socket_count++];
	*sock = (struct plan_socket){ .kind = kind, .child_fd = child_fd };
	snprintf(sock->name, sizeof(sock->name), "%s", name);
	return sock;
}

void plan_add_arguments(struct plan *plan, char *const *items, size_t count)
{
	strv_add_all(&plan->argv, items, count);
	plan->argument_count += count;
}

bool plan_socket_is_channel(const struct plan_socket *socket)
{
	return socket->kind != CHANNEL_CONTROL;
}

bool driver_is_sandboxed(const Pwemu__V1__Target *target)
{
	return strcmp(target->sandbox, "off") != 0;
}

const struct driver_ops *driver_find(const char *name, struct err *err)
{
	char known[128] = "";
	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
		size_t used = strlen(known);
		snprintf(known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "", drivers[i]->name);
	}
	err_set(err, ERR_NOT_FOUND, "emulator \"%s\" is not supported; there is: %s", name, known);
	err_reason(err, "invalid-emulator");
	return NULL;
}
