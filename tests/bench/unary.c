/* SPDX-License-Identifier: Apache-2.0 */
/* unary SOCKET|tcp://… COUNT: the time of each of COUNT warm Daemon.Info calls on one connection, in microseconds, one a line. */
#include <event2/event.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/host.h"
#include "config/paths.h"
#include "pwemu/v1/daemon.pb-c.h"
#include "wire/addr.h"
#include "wire/rpc.h"

static const struct rpc_client_method info = { "/pwemu.v1.Daemon/Info", &pwemu__v1__info_reply__descriptor };

static double now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int call_once(struct rpc_client *client, struct err *err)
{
	Pwemu__V1__InfoRequest request = PWEMU__V1__INFO_REQUEST__INIT;
	ProtobufCMessage *reply;
	if (rpc_client_unary(client, &info, &request.base, 5000, &reply, err) < 0)
		return -1;
	protobuf_c_message_free_unpacked(reply, NULL);
	return 0;
}

static struct rpc_client *open_client(const char *address, struct event_base *base, struct err *err)
{
	struct host host;
	struct paths paths;
	struct tls_link link;
	int fd;
	if (address[0] == '/')
		return addr_connect_unix(address, &fd, err) < 0 ? NULL : rpc_client_new(base, fd, NULL, NULL);
	if (paths_init(&paths, err) < 0 || host_parse(address, &host, err) < 0)
		return NULL;
	/* we are in build/VARIANT/tests/bench */
	char *module = strstr(paths.tls_module, "/tests/libexec");
	if (module != NULL)
		memmove(module, module + strlen("/tests"), strlen(module + strlen("/tests")) + 1);
	struct rpc_client *client = NULL;
	if (host_connect(&host, paths.tls_module, base, &link, err) == 0)
		client = rpc_client_new_tls(base, &link, host.name, host.token, NULL, NULL);
	host_fini(&host);
	return client;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct event_base *base = event_base_new();
	struct rpc_client *client = argc == 3 ? open_client(argv[1], base, &err) : NULL;
	if (client == NULL) {
		fprintf(stderr, "unary SOCKET COUNT: %s\n", err.msg);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	for (long i = -50, count = strtol(argv[2], NULL, 10); i < count; i++) {
		double start = now_us();
		if (call_once(client, &err) < 0) {
			fprintf(stderr, "unary: %s\n", err.msg);
			return 1;
		}
		if (i >= 0)
			printf("%.1f\n", now_us() - start);
	}
	rpc_client_free(client);
	event_base_free(base);
	return 0;
}
