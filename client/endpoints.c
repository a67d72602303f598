/* SPDX-License-Identifier: Apache-2.0 */
#include "client/endpoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/opt.h"
#include "client/values.h"
#include "wire/mem.h"

static int add(struct endpoints *endpoints, const char *channel, size_t len, const char *type, uint32_t port, struct err *err)
{
	Pwemu__V1__Endpoint *item = &endpoints->items[endpoints->count];
	pwemu__v1__endpoint__init(item);
	item->channel = xasprintf("%.*s", (int)len, channel);
	item->type = (char *)(uintptr_t)type;
	item->port = port;
	endpoints->list[endpoints->count++] = item;
	for (size_t i = 0; i + 1 < endpoints->count; i++) {
		const Pwemu__V1__Endpoint *other = &endpoints->items[i];
		if (strcmp(other->channel, item->channel) == 0)
			return err_set(err, ERR_INVALID_ARGUMENT, "channel '%s' can have one endpoint, not %s and %s", item->channel,
				       other->type, strcmp(other->type, type) == 0 ? "another" : type);
	}
	return 0;
}

static int add_tcp(struct endpoints *endpoints, const struct opts *opts, struct err *err)
{
	const char *text, *gdb = opt_text(opts, "gdb");
	uint32_t port = 0;
	size_t len;
	for (size_t i = 0; (text = opt_nth(opts, "tcp", i)) != NULL; i++)
		if (value_endpoint(text, &len, &port, err) < 0 || add(endpoints, text, len, "tcp", port, err) < 0)
			return -1;
	if (gdb == NULL)
		return 0;
	return value_port(gdb, &port, err) < 0 ? -1 : add(endpoints, "gdb", strlen("gdb"), "tcp", port, err);
}

int endpoints_init(struct endpoints *endpoints, const struct opts *opts, struct err *err)
{
	size_t count = opt_count(opts, "tcp") + opt_count(opts, "pty") + opt_has(opts, "gdb");
	const char *text;
	*endpoints = (struct endpoints){ .items = xcalloc(count, sizeof(*endpoints->items)), .list = xcalloc(count, sizeof(void *)) };
	if (add_tcp(endpoints, opts, err) < 0)
		return -1;
	for (size_t i = 0; (text = opt_nth(opts, "pty", i)) != NULL; i++)
		if (add(endpoints, text, strlen(text), "pty", 0, err) < 0)
			return -1;
	return 0;
}

void endpoints_fini(struct endpoints *endpoints)
{
	for (size_t i = 0; i < endpoints->count; i++)
		free(endpoints->items[i].channel);
	free(endpoints->items);
	free(endpoints->list);
	*endpoints = (struct endpoints){ 0 };
}

const char *endpoints_address(const Pwemu__V1__Channel *channel, char *buf, size_t size)
{
	if (channel->port != 0)
		snprintf(buf, size, "%s:%u", channel->host, channel->port);
	else
		snprintf(buf, size, "%s", channel->path);
	return buf;
}
