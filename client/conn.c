/* SPDX-License-Identifier: Apache-2.0 */
#include "client/conn.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "client/call.h"
#include "client/contexts.h"
#include "client/say.h"
#include "client/spawn.h"
#include "wire/addr.h"
#include "wire/mem.h"
#include "wire/rpc.h"

#define ABSENT_MS 50   /* until a daemon that is not ours to start is looked for again, CONN_MAX_DEATHS times */
#define STABLE_MS 1000 /* a daemon that was there for so long does not die of what we ask */

static int set_socket(struct conn *conn, const char *path, struct err *err)
{
	if (snprintf(conn->socket, sizeof(conn->socket), "%s", path) >= (int)sizeof(conn->socket))
		return err_set(err, ERR_INVALID_ARGUMENT, "path of the control socket: longer than %d bytes", PATHS_MAX - 1);
	return 0;
}

static int set_host(struct conn *conn, const char *url, struct err *err)
{
	if (host_parse(url, &conn->host, err) < 0)
		return -1;
	return conn->host.kind == HOST_UNIX ? set_socket(conn, conn->host.path, err) : 0;
}

/* NULL: the current one, if there is one. 1: none. */
static int set_context(struct conn *conn, const char *name, struct err *err)
{
	struct contexts contexts;
	if (contexts_load(conn->paths.contexts, &contexts, err) < 0)
		return -1;
	int rc = 1;
	if (name == NULL)
		name = contexts.current;
	if (name != NULL && !context_is_none(name)) {
		const struct context *found = contexts_find(&contexts, name, err);
		rc = found != NULL ? set_host(conn, found->url, err) : -1;
		if (rc == 0)
			conn->host.context = xstrdup(name);
		else if (found != NULL)
			err_prefix(err, "context %s", name);
	}
	contexts_fini(&contexts);
	return rc;
}

static const char *environment(const char *name)
{
	const char *value = getenv(name);
	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* 1: nobody was named. */
static int set_named(struct conn *conn, const char *host, const char *context, struct err *err)
{
	if (host != NULL && host[0] != '\0') {
		int rc = set_host(conn, host, err);
		host_hide(host);
		return rc;
	}
	if (context != NULL)
		return set_context(conn, context, err);
	host = environment("PWEMU_HOST");
	return host != NULL ? set_host(conn, host, err) : set_context(conn, environment("PWEMU_CONTEXT"), err);
}

static bool is_socket(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

int conn_init(struct conn *conn, const char *host, const char *context, struct err *err)
{
	memset(conn, 0, sizeof(*conn));
	if (paths_init(&conn->paths, err) < 0)
		return -1;
	int rc = set_named(conn, host, context, err);
	if (rc <= 0)
		return rc;
	if (is_socket(PATHS_SYSTEM_SOCKET))
		return set_socket(conn, PATHS_SYSTEM_SOCKET, err);
	conn->is_private = true;
	return set_socket(conn, conn->paths.control_socket, err);
}

static bool is_absent(const struct err *err)
{
	return err->sys == ENOENT || err->sys == ECONNREFUSED || err->sys == ENOTDIR;
}

static int connect_socket(struct conn *conn, enum conn_mode mode, int *fd, struct err *err)
{
	if (addr_connect_unix(conn->socket, fd, err) == 0)
		return 0;
	if (conn->is_private && mode != CONN_EXISTING && is_absent(err))
		return spawn_daemon(&conn->paths, fd, err);
	if (!is_absent(err))
		return -1;
	int sys = err->sys;
	err_sys(err, sys, "no daemon answers at %s", conn->socket);
	err->code = ERR_UNAVAILABLE;
	return err_reason(err, "no-daemon");
}

static uint64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int make_base(struct conn *conn, struct err *err)
{
	if (conn->base == NULL)
		conn->base = event_base_new();
	return conn->base != NULL ? 0 : err_set(err, ERR_INTERNAL, "no event loop can be made");
}

static int make_client(struct conn *conn, enum conn_mode mode, struct err *err)
{
	int fd;
	if (connect_socket(conn, mode, &fd, err) < 0)
		return -1;
	say_detail("connected to %s", conn->socket);
	if (make_base(conn, err) < 0)
		return -1;
	conn->client = rpc_client_new(conn->base, fd, NULL, NULL);
	return 0;
}

static int make_tls_client(struct conn *conn, struct err *err)
{
	struct tls_link link = { .ops = NULL };
	if (make_base(conn, err) < 0 || host_connect(&conn->host, conn->paths.tls_module, conn->base, &link, err) < 0)
		return -1;
	say_detail("connected to %s", conn->host.shown);
	conn->client = rpc_client_new_tls(conn->base, &link, conn->host.name, conn->host.token, NULL, NULL);
	return 0;
}

static int connect_client(struct conn *conn, enum conn_mode mode, struct err *err)
{
	if ((conn->host.kind == HOST_UNIX ? make_client(conn, mode, err) : make_tls_client(conn, err)) < 0)
		return -1;
	conn->opened_ms = now_ms();
	if (conn->progress_ms == 0)
		conn->progress_ms = conn->opened_ms;
	return 0;
}

void conn_note_version(struct conn *conn, const char *version)
{
	static bool is_said;
	snprintf(conn->version, sizeof(conn->version), "%s", version);
	if (strcmp(version, PWEMU_VERSION) == 0 || is_said)
		return;
	is_said = true;
	say_note("note: the daemon is %s, this is %s; `pwemu daemon restart` makes them the same", conn->version, PWEMU_VERSION);
}

static int ask(struct conn *conn, struct err *err)
{
	Pwemu__V1__InfoRequest request = PWEMU__V1__INFO_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	if (call_unary(conn, CALL_DAEMON_INFO, &request.base, 0, &reply, err) < 0)
		return -1;
	conn_note_version(conn, ((const Pwemu__V1__InfoReply *)reply)->version);
	protobuf_c_message_free_unpacked(reply, NULL);
	return 0;
}

void conn_ask_version(struct conn *conn)
{
	struct err err = ERR_INIT;
	(void)!ask(conn, &err);
}

int conn_open(struct conn *conn, enum conn_mode mode, struct err *err)
{
	for (int round = 0;; round++) {
		if (connect_client(conn, mode, err) < 0)
			return -1;
		if (mode != CONN_START || ask(conn, err) == 0)
			return 0;
		conn_close(conn);
		if (err->code != ERR_UNAVAILABLE || round == 2)
			return -1;
	}
}

void conn_close(struct conn *conn)
{
	if (conn->client != NULL)
		rpc_client_free(conn->client);
	conn->client = NULL;
}

bool conn_is_lost(const struct conn *conn, const struct err *status)
{
	return status->code == ERR_UNAVAILABLE && (conn->client == NULL || rpc_client_is_closed(conn->client));
}

/* What ends a daemon may end the next one while it starts, or before it answers. */
static int open_next(struct conn *conn, struct err *err)
{
	for (int round = 0; conn_open(conn, CONN_START, err) < 0; round++) {
		if (round == CONN_MAX_DEATHS || err->code != ERR_UNAVAILABLE || strcmp(err->reason, SPAWN_REFUSED) == 0)
			return -1;
		if (strcmp(err->reason, "no-daemon") == 0) /* others start it */
			usleep(ABSENT_MS * 1000);
	}
	return 0;
}

void conn_progress(struct conn *conn)
{
	conn->fruitless = 0;
	conn->progress_ms = now_ms();
}

int conn_reopen(struct conn *conn, struct err *err)
{
	conn_close(conn);
	if (now_ms() - conn->opened_ms >= STABLE_MS)
		conn_progress(conn);
	bool is_patient = now_ms() - conn->progress_ms < CONN_PATIENCE_MS;
	if (++conn->fruitless > CONN_MAX_LOSSES && !is_patient)
		return err_set(err, ERR_UNAVAILABLE, "the daemon has gone %u times in a row; see: pwemu daemon logs", conn->fruitless);
	(conn->losses++ == 0 ? say_note : say_detail)("the daemon has gone; going on with the next one");
	return open_next(conn, err);
}

void conn_fini(struct conn *conn)
{
	conn_close(conn);
	if (conn->base != NULL)
		event_base_free(conn->base);
	conn->base = NULL;
	host_fini(&conn->host);
}
