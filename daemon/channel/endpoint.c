/* SPDX-License-Identifier: Apache-2.0 */
#include "channel/endpoint_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "channel/file.h"
#include "loop/ports.h"
#include "loop/pty.h"
#include "wire/mem.h"

/* How long who is there has for what is left: looked at soon, then now and then, for five seconds. */
#define LINGER_SOON_MS    5
#define LINGER_SOON_TURNS 20
#define LINGER_MS         100
#define LINGER_TURNS_MAX  70

static const struct {
	const char *name;
	const struct endpoint_ops *ops;
} endpoint_kinds[] = {
	[ENDPOINT_NONE] = { "none", NULL },
	[ENDPOINT_TCP] = { "tcp", &endpoint_tcp_ops },
	[ENDPOINT_PTY] = { "pty", &endpoint_pty_ops },
};
_Static_assert(sizeof(endpoint_kinds) / sizeof(endpoint_kinds[0]) == ENDPOINT_KIND_COUNT, "a row for each kind");

const char *endpoint_kind_name(enum endpoint_kind kind)
{
	return endpoint_kinds[kind].name;
}

bool endpoint_kind_parse(const char *name, enum endpoint_kind *out)
{
	if (name[0] == '\0')
		name = endpoint_kinds[ENDPOINT_NONE].name;
	for (int kind = 0; kind < ENDPOINT_KIND_COUNT; kind++) {
		if (strcmp(endpoint_kinds[kind].name, name) != 0)
			continue;
		*out = (enum endpoint_kind)kind;
		return true;
	}
	return false;
}

/* ---------------------------------------------------------------- descriptors */

void endpoint_fds_close(struct endpoint_fds *fds)
{
	int *all[] = { &fds->listener, &fds->master, &fds->slave, &fds->cursor };
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (*all[i] >= 0)
			close(*all[i]);
		*all[i] = -1;
	}
}

int endpoint_make_tcp(uint16_t wanted, uint32_t first, uint32_t last, struct endpoint_fds *fds, uint16_t *port, struct err *err)
{
	int listener;
	if (ports_listen(wanted, first, last, &listener, port, err) < 0)
		return -1;
	*fds = (struct endpoint_fds)ENDPOINT_FDS_NONE;
	fds->listener = listener;
	return 0;
}

/* A description of its own, for its file offset; the log's end is where it stands. */
static int endpoint_open_cursor(int log_dir, const char *channel, struct err *err)
{
	char *file = xasprintf("%s.log", channel);
	uint64_t end;
	int fd = file_open_reader(log_dir, file, &end, err);
	if (fd >= 0 && lseek(fd, (off_t)end, SEEK_SET) < 0) {
		err_sys(err, errno, "go to the end of \"%s\"", file);
		close(fd);
		fd = -1;
	}
	free(file);
	return fd;
}

int endpoint_make_pty(int log_dir, const char *channel, uid_t uid, struct endpoint_fds *fds, char path[ENDPOINT_PATH_MAX], struct err *err)
{
	struct endpoint_fds made = ENDPOINT_FDS_NONE;
	if (log_dir >= 0)
		made.cursor = endpoint_open_cursor(log_dir, channel, err);
	if ((log_dir >= 0 && made.cursor < 0) || pty_make(uid, &made.master, &made.slave, path, ENDPOINT_PATH_MAX, err) < 0) {
		endpoint_fds_close(&made);
		return err_prefix(err, "channel \"%s\"", channel);
	}
	*fds = made;
	return 0;
}

/* ---------------------------------------------------------------- parties */

uint64_t endpoint_start_offset(const struct endpoint *endpoint)
{
	struct hub_boot boot;
	struct err err;
	if (endpoint->had_party || hub_find_boot(endpoint->config.hub, 0, &boot, &err) < 0)
		return hub_end_offset(endpoint->config.hub);
	return boot.offset;
}

void endpoint_party(struct endpoint *endpoint, bool attached, const char *who)
{
	endpoint->had_party |= attached;
	endpoint->party_count += attached ? 1 : -1u;
	if (who != NULL && endpoint->config.on_party != NULL)
		endpoint->config.on_party(endpoint->config.ctx, attached, who);
}

void endpoint_tell_trouble(const struct endpoint *endpoint, const struct err *err)
{
	if (endpoint->config.on_trouble != NULL)
		endpoint->config.on_trouble(endpoint->config.ctx, err);
}

unsigned endpoint_party_count(const struct endpoint *endpoint)
{
	return endpoint->party_count;
}

int endpoint_unread(int fd)
{
	int n = 0;
	return ioctl(fd, FIONREAD, &n) < 0 ? 0 : n;
}

/* ---------------------------------------------------------------- its end */

static void endpoint_linger(struct endpoint *endpoint)
{
	unsigned delay_ms = endpoint->linger_turns < LINGER_SOON_TURNS ? LINGER_SOON_MS : LINGER_MS;
	struct timeval delay = { 0, (suseconds_t)(endpoint->linger_turns == 0 ? 0 : delay_ms) * 1000 };
	endpoint->linger_turns++;
	event_add(&endpoint->linger, &delay);
}

static void endpoint_on_linger(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct endpoint *endpoint = ctx;
	if (endpoint->ops->has_ended(endpoint) || endpoint->linger_turns == LINGER_TURNS_MAX)
		endpoint->on_ended(endpoint->config.ctx);
	else
		endpoint_linger(endpoint);
}

void endpoint_end(struct endpoint *endpoint, void (*on_done)(void *ctx))
{
	endpoint->on_ended = on_done;
	endpoint->ops->end(endpoint);
	endpoint_linger(endpoint);
}

/* ---------------------------------------------------------------- one endpoint */

int endpoint_open(const struct endpoint_config *config, bool adopted, struct endpoint **out, struct err *err)
{
	const struct endpoint_ops *ops = endpoint_kinds[config->kind].ops;
	if (ops == NULL)
		return err_set(err, ERR_INVALID_ARGUMENT, "an endpoint is tcp or pty");
	struct endpoint *endpoint = xcalloc(1, ops->size);
	endpoint->ops = ops;
	endpoint->config = *config;
	endpoint->config.path = xstrdup(config->path);
	endpoint->fds = *config->fds;
	event_assign(&endpoint->linger, config->base, -1, EV_TIMEOUT, endpoint_on_linger, endpoint);
	endpoint->had_party = config->had_party;
	if (ops->open(endpoint, adopted, err) < 0) {
		endpoint_free(endpoint);
		return -1;
	}
	*out = endpoint;
	return 0;
}

void endpoint_review(struct endpoint *endpoint)
{
	if (endpoint->ops->review != NULL)
		endpoint->ops->review(endpoint);
}

void endpoint_begin_boot(struct endpoint *endpoint)
{
	endpoint->had_party = endpoint->party_count > 0;
	endpoint->ops->begin_boot(endpoint);
}

void endpoint_free(struct endpoint *endpoint)
{
	if (endpoint == NULL)
		return;
	event_del(&endpoint->linger);
	endpoint->ops->fini(endpoint);
	free((char *)endpoint->config.path);
	free(endpoint);
}
