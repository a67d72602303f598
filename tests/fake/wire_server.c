/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire_server SOCKET [NAME=VALUE...]: serves wire_test.proto for tests/python/wire. Names: handshake_ms, idle_ms, stall_ms,
 * max_queued, max_connections, drain_ms, files (RLIMIT_NOFILE). Prints "ready" when it listens. SIGTERM drains. tls=MODULE: also under TLS,
 * for everybody, at a port of 127.0.0.1 that is printed behind "ready", with a certificate in the directory tls beside the socket.
 */
#include <arpa/inet.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/resource.h>

#include "wire/addr.h"
#include "wire/mem.h"
#include "wire/rpc.h"
#include "wire/tls.h"
#include "wire_test.pb-c.h"

typedef Pwemu__Test__Note note;

extern const char wire_test_descriptors[], wire_test_descriptors_end[];

static struct {
	struct event_base *base;
	struct rpc_server *server;
	uint32_t drain_ms;
	int held, ended;
	const struct tls_ops *ops;
	struct tls *tls;
	uint16_t port;
} the;

static const note *note_of(const ProtobufCMessage *message)
{
	return (const note *)message;
}

/* ---------------------------------------------------------------- unary */

static void svc_echo(struct rpc_call *call, const ProtobufCMessage *request)
{
	rpc_call_reply(call, request);
}

static void svc_fail(struct rpc_call *call, const ProtobufCMessage *request)
{
	struct err err;
	err_set(&err, ERR_FAILED_PRECONDITION, "%s", note_of(request)->text);
	err_reason(&err, "already-running");
	rpc_call_finish_error(call, &err);
}

static void hold_on_end(struct rpc_call *call, void *ctx)
{
	(void)call;
	(void)ctx;
	the.held--;
	the.ended++;
}

static void svc_hold(struct rpc_call *call, const ProtobufCMessage *request)
{
	static const struct rpc_call_ops ops = { .on_end = hold_on_end };
	(void)request;
	the.held++;
	rpc_call_adopt(call, &ops, NULL);
}

static void svc_big(struct rpc_call *call, const ProtobufCMessage *request)
{
	note reply = PWEMU__TEST__NOTE__INIT;
	int32_t size = note_of(request)->number;
	reply.data.len = size > 0 ? (size_t)size : 0;
	reply.data.data = xcalloc(1, reply.data.len);
	rpc_call_reply(call, &reply.base);
	free(reply.data.data);
}

static void svc_count(struct rpc_call *call, const ProtobufCMessage *request)
{
	note reply = PWEMU__TEST__NOTE__INIT;
	reply.number = note_of(request)->number < 0 ? the.ended : the.held;
	rpc_call_reply(call, &reply.base);
}

/* ---------------------------------------------------------------- streams */

struct numbers {
	int32_t next, end;
	size_t bytes;
};

static void numbers_pump(struct rpc_call *call, void *ctx)
{
	struct numbers *numbers = ctx;
	note reply = PWEMU__TEST__NOTE__INIT;
	reply.data.len = numbers->bytes;
	reply.data.data = xcalloc(1, numbers->bytes);
	while (numbers->next < numbers->end && rpc_call_can_send(call)) {
		reply.number = numbers->next++;
		rpc_call_send(call, &reply.base);
	}
	free(reply.data.data);
	if (numbers->next == numbers->end)
		rpc_call_finish_ok(call);
}

static void numbers_on_end(struct rpc_call *call, void *ctx)
{
	(void)call;
	the.ended++;
	free(ctx);
}

static void svc_numbers(struct rpc_call *call, const ProtobufCMessage *request)
{
	static const struct rpc_call_ops ops = { .on_writable = numbers_pump, .on_end = numbers_on_end };
	struct numbers *numbers = xcalloc(1, sizeof(*numbers));
	numbers->end = note_of(request)->number > 0 ? note_of(request)->number : 0;
	numbers->bytes = note_of(request)->data.len;
	rpc_call_adopt(call, &ops, numbers);
	numbers_pump(call, numbers);
}

struct sum {
	int32_t numbers;
	size_t bytes;
};

static void sum_on_message(struct rpc_call *call, void *ctx, const ProtobufCMessage *request)
{
	struct sum *sum = ctx;
	(void)call;
	sum->numbers += note_of(request)->number;
	sum->bytes += note_of(request)->data.len;
}

static void sum_on_half_close(struct rpc_call *call, void *ctx)
{
	struct sum *sum = ctx;
	char text[32];
	note reply = PWEMU__TEST__NOTE__INIT;
	snprintf(text, sizeof(text), "%zu", sum->bytes);
	reply.number = sum->numbers;
	reply.text = text;
	rpc_call_reply(call, &reply.base);
}

static void svc_sum(struct rpc_call *call, const ProtobufCMessage *request)
{
	static const struct rpc_call_ops ops = {
		.on_message = sum_on_message,
		.on_half_close = sum_on_half_close,
		.on_end = numbers_on_end,
	};
	struct sum *sum = xcalloc(1, sizeof(*sum));
	rpc_call_adopt(call, &ops, sum);
	sum_on_message(call, sum, request);
}

static void chat_on_message(struct rpc_call *call, void *ctx, const ProtobufCMessage *request)
{
	(void)ctx;
	rpc_call_send(call, request);
	if (!rpc_call_can_send(call))
		rpc_call_pause_input(call);
}

static void chat_on_writable(struct rpc_call *call, void *ctx)
{
	(void)ctx;
	rpc_call_resume_input(call);
}

static void chat_on_half_close(struct rpc_call *call, void *ctx)
{
	(void)ctx;
	rpc_call_finish_ok(call);
}

static void svc_chat(struct rpc_call *call, const ProtobufCMessage *request)
{
	static const struct rpc_call_ops ops = {
		.on_message = chat_on_message,
		.on_half_close = chat_on_half_close,
		.on_writable = chat_on_writable,
		.on_end = numbers_on_end,
	};
	rpc_call_adopt(call, &ops, NULL);
	chat_on_message(call, NULL, request);
}

/* ---------------------------------------------------------------- the program */

#define METHOD(name_, kind_, handle_)                                                                                                      \
	{                                                                                                                                  \
		.path = "/pwemu.test.Wire/" name_, .kind = (kind_), .request = &pwemu__test__note__descriptor,                             \
		.reply = &pwemu__test__note__descriptor, .request_max_bytes = 1024 * 1024, .handle = (handle_)                             \
	}

static const struct rpc_method methods[] = {
	METHOD("Echo", RPC_UNARY, svc_echo),       METHOD("Fail", RPC_UNARY, svc_fail),   METHOD("Hold", RPC_UNARY, svc_hold),
	METHOD("Big", RPC_UNARY, svc_big),         METHOD("Count", RPC_UNARY, svc_count), METHOD("Numbers", RPC_SERVER_STREAM, svc_numbers),
	METHOD("Sum", RPC_CLIENT_STREAM, svc_sum), METHOD("Chat", RPC_BIDI, svc_chat),    { .path = NULL },
};

static void on_drained(void *ctx)
{
	(void)ctx;
	rpc_server_free(the.server);
	the.server = NULL;
	event_base_loopbreak(the.base);
}

static void on_sigterm(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	rpc_server_drain(the.server, the.drain_ms, on_drained, NULL);
}

static void set_files(uint32_t value)
{
	struct rlimit limit = { value, value };
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		perror("setrlimit");
}

static int let_in(void *ctx, struct rpc_peer *peer, const char *certificate, const char *token, struct err *err)
{
	(void)ctx;
	(void)peer;
	(void)certificate;
	(void)token;
	(void)err;
	return 0;
}

static int make_tls(const char *module, const char *dir, struct err *err)
{
	static const char *const names[] = { "localhost", "127.0.0.1" };
	char *cert = xasprintf("%s/server.pem", dir), *key = xasprintf("%s/server.key", dir);
	struct tls_server config = { .cert_file = cert, .key_file = key };
	unsigned made;
	int rc = tls_load(module, &the.ops, err);
	if (rc == 0)
		rc = the.ops->ensure(dir, names, 2, &made, err);
	if (rc == 0)
		the.tls = the.ops->server_new(&config, err);
	free(cert);
	free(key);
	return the.tls != NULL ? 0 : -1;
}

static int serve_tls(const char *module, const char *socket_path, struct err *err)
{
	char *dir = xasprintf("%.*s/tls", (int)(strrchr(socket_path, '/') - socket_path), socket_path);
	int rc = make_tls(module, dir, err), *fds;
	size_t count;
	free(dir);
	if (rc < 0 || addr_listen_tcp("127.0.0.1", 0, &fds, &count, err) < 0)
		return -1;
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);
	getsockname(fds[0], (struct sockaddr *)&addr, &len);
	the.port = ntohs(addr.sin_port);
	rpc_server_set_tls(the.server, the.ops, the.tls);
	rpc_server_listen_tls(the.server, fds[0]);
	free(fds);
	return 0;
}

static const char *text_option(int argc, char **argv, const char *name)
{
	size_t len = strlen(name);
	for (int i = 2; i < argc; i++)
		if (strncmp(argv[i], name, len) == 0 && argv[i][len] == '=')
			return argv[i] + len + 1;
	return NULL;
}

static void set_option(struct rpc_server_config *config, const char *text)
{
	const char *equals = strchr(text, '=');
	const struct {
		const char *name;
		uint32_t *value;
	} options[] = {
		{ "handshake_ms", &config->handshake_timeout_ms }, { "idle_ms", &config->idle_timeout_ms },
		{ "stall_ms", &config->stall_timeout_ms },         { "max_queued", &config->max_queued_bytes },
		{ "max_connections", &config->max_connections },   { "drain_ms", &the.drain_ms },
	};
	uint32_t value = equals != NULL ? (uint32_t)strtoul(equals + 1, NULL, 10) : 0;
	size_t len = equals != NULL ? (size_t)(equals - text) : 0;
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strlen(options[i].name) == len && strncmp(options[i].name, text, len) == 0)
			*options[i].value = value;
	if (strncmp(text, "files=", 6) == 0)
		set_files(value);
}

int main(int argc, char **argv)
{
	static const struct rpc_method *const tables[] = { methods, NULL };
	struct rpc_server_config config = {
		.tables = tables,
		.authenticate = let_in,
		.descriptors = wire_test_descriptors,
		.descriptors_len = (size_t)(wire_test_descriptors_end - wire_test_descriptors),
	};
	struct err err = ERR_INIT;
	int fd;
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes with write(2) */
	the.drain_ms = 5000;
	for (int i = 2; i < argc; i++)
		set_option(&config, argv[i]);
	if (argc < 2 || addr_listen_unix(argv[1], 0600, &fd, &err) < 0) {
		fprintf(stderr, "wire_server: %s\n", argc < 2 ? "usage: wire_server SOCKET [NAME=VALUE...]" : err.msg);
		return 1;
	}
	the.base = config.base = event_base_new();
	the.server = rpc_server_new(&config, fd);
	struct event *sigterm = evsignal_new(the.base, SIGTERM, on_sigterm, NULL);
	event_add(sigterm, NULL);
	const char *module = text_option(argc, argv, "tls");
	if (module != NULL && serve_tls(module, argv[1], &err) < 0) {
		fprintf(stderr, "wire_server: %s\n", err.msg);
		return 1;
	}
	printf(module != NULL ? "ready %u\n" : "ready\n", (unsigned)the.port);
	fflush(stdout);
	event_base_dispatch(the.base);
	event_free(sigterm);
	rpc_server_free(the.server);
	if (the.ops != NULL)
		the.ops->free(the.tls);
	event_base_free(the.base);
	libevent_global_shutdown();
	return 0;
}
