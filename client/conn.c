/* SPDX-License-Identifier: Apache-2.0 */
#include "client/conn.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/call.h"
#include "client/clock.h"
#include "client/contexts.h"
#include "client/say.h"
#include "client/spawn.h"
#include "client/ssh.h"
#include "client/values.h"
#include "wire/addr.h"
#include "wire/mem.h"
#include "wire/rpc.h"

#define ABSENT_MS 50   /* until a daemon that is not ours to start is looked for again, CONN_MAX_DEATHS times */
#define STABLE_MS 1000 /* a daemon that was there for so long does not die of what we ask */

#define CONN_REMOTE     "?remote"
#define BACKOFF_MS      50 /* from try to try, doubled each time … */
#define BACKOFF_MAX_MS  2000
#define ALIVE_ASK_MS    15000 /* a silent connection that leads over a network is asked whether it is still there … */
#define ALIVE_ANSWER_MS 10000 /* … and is lost without an answer */

/* A kind of address. */
struct conn_scheme {
	const char *prefix;
	bool is_remote;
	int (*check)(struct conn *conn, const char *host, struct err *err);
	/* NULL: there is no plain way, `make` does it. */
	int (*dial)(struct conn *conn, enum conn_mode mode, int *fd, struct err *err);
	int (*make)(struct conn *conn, enum conn_mode mode, struct err *err);
	/* The connection ended before an answer. Puts why into err; true: another try may do better. NULL: always. */
	bool (*explain)(const char *address, struct err *err);
};

static int set_socket(struct conn *conn, const char *path, struct err *err)
{
	if (snprintf(conn->socket, sizeof(conn->socket), "%s", path) >= (int)sizeof(conn->socket))
		return err_set(err, ERR_INVALID_ARGUMENT, "path of the control socket: longer than %d bytes", PATHS_MAX - 1);
	snprintf(conn->address, sizeof(conn->address), "unix:%s%s", path, conn->is_remote ? CONN_REMOTE : "");
	return 0;
}

/* unix:/path?remote: a socket that leads to another machine, as `ssh -L` makes it. */
static int check_unix(struct conn *conn, const char *host, struct err *err)
{
	char path[PATHS_MAX + 32];
	snprintf(path, sizeof(path), "%s", strncmp(host, "unix:", 5) == 0 ? host + 5 : host);
	size_t len = strlen(path), tail = strlen(CONN_REMOTE);
	if (path[0] != '/')
		return err_set(err, ERR_INVALID_ARGUMENT,
			       "host '%s': write unix:/path/of/control.sock, ssh://[user@]host or tcp://HOST:PORT", host);
	conn->is_remote = len > tail && strcmp(path + len - tail, CONN_REMOTE) == 0;
	if (conn->is_remote)
		path[len - tail] = '\0';
	return set_socket(conn, path, err);
}

static int check_ssh(struct conn *conn, const char *host, struct err *err)
{
	if (ssh_check(host, err) < 0)
		return -1;
	if (snprintf(conn->address, sizeof(conn->address), "%s", host) >= (int)sizeof(conn->address))
		return err_set(err, ERR_INVALID_ARGUMENT, "host: longer than %d bytes", CONN_ADDRESS_MAX - 1);
	return 0;
}

static int dial_ssh(struct conn *conn, enum conn_mode mode, int *fd, struct err *err)
{
	(void)mode;
	return ssh_connect(conn->address, fd, err);
}

static int dial_unix(struct conn *conn, enum conn_mode mode, int *fd, struct err *err);

/* What is shown of it has no secrets. */
static int check_tcp(struct conn *conn, const char *host, struct err *err)
{
	if (host_parse(host, &conn->host, err) < 0)
		return -1;
	snprintf(conn->address, sizeof(conn->address), "%s", conn->host.shown);
	return 0;
}

static int make_plain(struct conn *conn, enum conn_mode mode, struct err *err)
{
	int fd = -1;
	if (conn_dial(conn, mode, &fd, err) < 0)
		return -1;
	conn->client = rpc_client_new(conn->base, fd, NULL, NULL);
	return 0;
}

static int make_tls(struct conn *conn, enum conn_mode mode, struct err *err)
{
	struct tls_link link = { .ops = NULL };
	(void)mode;
	if (host_connect(&conn->host, conn->paths.tls_module, conn->base, &link, err) < 0)
		return -1;
	conn->client = rpc_client_new_tls(conn->base, &link, conn->host.name, conn->host.token, NULL, NULL);
	return 0;
}

static const struct conn_scheme schemes[] = {
	{ "ssh://", true, check_ssh, dial_ssh, make_plain, ssh_explain },
	{ "tcp://", true, check_tcp, NULL, make_tls, NULL },
	{ "", false, check_unix, dial_unix, make_plain, NULL }, /* also a path alone */
};

static int set_host(struct conn *conn, const char *host, struct err *err)
{
	const struct conn_scheme *scheme = schemes;
	while (strncmp(host, scheme->prefix, strlen(scheme->prefix)) != 0)
		scheme++;
	conn->scheme = scheme;
	conn->is_remote = scheme->is_remote;
	int rc = scheme->check(conn, host, err);
	conn->is_elsewhere = conn->is_remote;
	return rc;
}

static bool is_socket(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
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

int conn_init(struct conn *conn, const char *host, const char *context, struct err *err)
{
	memset(conn, 0, sizeof(*conn));
	conn->scheme = &schemes[sizeof(schemes) / sizeof(schemes[0]) - 1];
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

static int dial_unix(struct conn *conn, enum conn_mode mode, int *fd, struct err *err)
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

int conn_dial(struct conn *conn, enum conn_mode mode, int *fd, struct err *err)
{
	if (conn->scheme->dial == NULL)
		return err_set(err, ERR_FAILED_PRECONDITION, "%s: a connection under TLS cannot be passed on", conn->address);
	return conn->scheme->dial(conn, mode, fd, err);
}

static int connect_client(struct conn *conn, enum conn_mode mode, struct err *err)
{
	if (conn->base == NULL)
		conn->base = event_base_new();
	if (conn->base == NULL)
		return err_set(err, ERR_INTERNAL, "no event loop can be made");
	if (conn->scheme->make(conn, mode, err) < 0)
		return -1;
	say_detail("connected to %s", conn->address);
	if (conn->is_remote)
		rpc_client_keep_alive(conn->client, ALIVE_ASK_MS, ALIVE_ANSWER_MS);
	conn->opened_ms = clock_now_ms();
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

static void on_info(struct rpc_stream *stream, void *ctx, const ProtobufCMessage *reply)
{
	(void)stream;
	conn_note_version(ctx, ((const Pwemu__V1__InfoReply *)reply)->version);
}

static void on_info_end(struct rpc_stream *stream, void *ctx, const struct err *status)
{
	(void)stream, (void)ctx, (void)status;
}

static void ask_along(struct conn *conn)
{
	static const struct rpc_stream_ops ops = { .on_message = on_info, .on_end = on_info_end };
	Pwemu__V1__InfoRequest request = PWEMU__V1__INFO_REQUEST__INIT;
	rpc_stream_half_close(
		rpc_client_call(conn->client, call_method(CALL_DAEMON_INFO), &request.base, call_timeout_ms(CALL_DAEMON_INFO), &ops, conn));
}

/* Whether it is worth another try. */
static bool may_try_again(const struct conn *conn, int round, struct err *err)
{
	bool may = err->code == ERR_UNAVAILABLE && round < 2;
	if (err->code == ERR_UNAVAILABLE && conn->scheme->explain != NULL)
		may = conn->scheme->explain(conn->address, err) && may;
	return may;
}

/* Over a network the question costs little beside the rest, and tells what a call could not. */
int conn_open(struct conn *conn, enum conn_mode mode, struct err *err)
{
	bool asks = mode == CONN_START || conn->is_remote;
	for (int round = 0;; round++) {
		if (connect_client(conn, mode, err) < 0)
			return -1;
		if (!asks && mode == CONN_ASK)
			ask_along(conn);
		if (!asks || ask(conn, err) == 0)
			return 0;
		conn_close(conn);
		if (!may_try_again(conn, round, err))
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
	conn->progress_ms = clock_now_ms();
}

static uint64_t patience_ms(void)
{
	const char *text = getenv("PWEMU_RECONNECT");
	struct err err = ERR_INIT;
	uint64_t ms = CONN_PATIENCE_MS;
	if (text != NULL && text[0] != '\0' && value_duration(text, &ms, &err) < 0)
		say_note("PWEMU_RECONNECT: %s", err.msg);
	return ms;
}

static bool is_unwanted(const struct conn *conn)
{
	return conn->is_unwanted != NULL && conn->is_unwanted(conn->unwanted_ctx);
}

static void on_pause_over(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	event_base_loopbreak(((struct conn *)ctx)->base);
}

/* The loop runs, so that signals and keys are seen; one that ends it only makes us look. */
static bool pause_for(struct conn *conn, uint64_t ms)
{
	uint64_t until = clock_now_ms() + ms;
	struct timeval delay = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
	struct event *timer = evtimer_new(conn->base, on_pause_over, conn);
	evtimer_add(timer, &delay);
	while (!is_unwanted(conn) && evtimer_pending(timer, NULL) && clock_now_ms() < until)
		event_base_loop(conn->base, EVLOOP_NO_EXIT_ON_EMPTY);
	event_free(timer);
	return !is_unwanted(conn);
}

/* A network that was cut comes back, or does not. */
static int open_again(struct conn *conn, struct err *err)
{
	uint64_t begin = clock_now_ms(), patience = patience_ms();
	for (uint64_t wait = BACKOFF_MS; conn_open(conn, CONN_START, err) < 0;
	     wait = wait < BACKOFF_MAX_MS / 2 ? 2 * wait : BACKOFF_MAX_MS) {
		uint64_t spent = clock_now_ms() - begin;
		bool is_final = err->code != ERR_UNAVAILABLE && err->code != ERR_DEADLINE_EXCEEDED;
		if (is_final || spent >= patience)
			return err_prefix(err, "the connection to %s was lost and could not be made again within %.1f s", conn->address,
					  (double)spent / 1000);
		if (!pause_for(conn, wait < patience - spent ? wait : patience - spent))
			return err_set(err, ERR_CANCELLED, "the connection to %s was lost", conn->address);
	}
	say_note("connected to %s again", conn->address);
	return 0;
}

int conn_reopen(struct conn *conn, struct err *err)
{
	conn_close(conn);
	if (conn->is_remote) {
		conn->losses++;
		say_note("the connection to %s was lost; connecting again", conn->address);
		return open_again(conn, err);
	}
	if (clock_now_ms() - conn->opened_ms >= STABLE_MS)
		conn_progress(conn);
	bool is_patient = clock_now_ms() - conn->progress_ms < CONN_PATIENCE_MS;
	if (++conn->fruitless > CONN_MAX_LOSSES && !is_patient)
		return err_set(err, ERR_UNAVAILABLE, "the daemon has gone %u times in a row; see: pwemu daemon logs", conn->fruitless);
	(conn->losses++ == 0 ? say_note : say_detail)("the daemon has gone; going on with the next one");
	return open_next(conn, err);
}

void conn_fini(struct conn *conn)
{
	conn_close(conn);
	host_fini(&conn->host);
	if (conn->base != NULL)
		event_base_free(conn->base);
	conn->base = NULL;
}
