/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what a client sends: HTTP/2, gRPC, messages, down to the daemon's own methods, which find no instance but a journal and the
 * presets. Those that would start, end or replace something only answer. The first byte says in pieces of which size the bytes arrive, and
 * whether a preface comes before them.
 */
#include "config/settings.h"
#include "instance/journal.h"
#include "loop/loop.h"
#include "instance/uploads.h"
#include "rpc/auth.h"
#include "rpc/remote.h"
#include "rpc/service.h"
#include "rpc/users.h"
#include "tests/fuzz/fuzz.h"
#include "wire/mem.h"

#define METHODS_MAX 64
#define EVENTS      200

extern const unsigned char wire_descriptors[], wire_descriptors_end[];

static struct {
	struct event_base *base;
	struct settings settings;
	struct services services;
	struct user own;
	struct rpc_method methods[METHODS_MAX];
} the;

static void answer(struct rpc_call *call, const ProtobufCMessage *request)
{
	const ProtobufCMessageDescriptor *type = rpc_call_method(call)->reply;
	ProtobufCMessage *reply = xmalloc(type->sizeof_message);
	(void)request;
	protobuf_c_message_init(type, reply);
	rpc_call_reply(call, reply);
	free(reply);
}

static void on_shutdown(void *ctx)
{
	(void)ctx;
	abort();
}

static void take_methods(void)
{
	static const struct rpc_method *const tables[] = { svc_instances_methods, svc_channels_methods, svc_properties_methods,
							   svc_targets_methods, svc_daemon_methods };
	static const char *const tame[] = {
		"/Start", "/Restart", "/Shutdown", "/Reload", "/Share", "/Unshare", "/AddToken", "/RemoveToken"
	};
	size_t count = 0;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		for (const struct rpc_method *row = tables[i]; row->path != NULL; row++) {
			if (count + 1 >= METHODS_MAX)
				abort();
			the.methods[count] = *row;
			for (size_t j = 0; j < sizeof(tame) / sizeof(tame[0]); j++)
				if (strcmp(strrchr(row->path, '/'), tame[j]) == 0)
					the.methods[count].handle = answer;
			count++;
		}
	}
}

static void begin(void)
{
	struct err err = ERR_INIT;
	the.base = loop_new();
	settings_init(&the.settings);
	struct journal *journal = journal_open(the.base, fuzz_dir());
	for (unsigned i = 0; i < EVENTS; i++)
		journal_tell(journal, PWEMU__V1__EVENT_KIND__EVENT_KIND_DAEMON, "an event to be read, number %u, somewhat longer", i);
	user_init(&the.own, geteuid(), getegid(), NULL, 0, "somebody");
	struct registry_config config = {
		.base = the.base,
		.shim = "/nonexistent/shim",
		.state_dir = fuzz_dir(),
		.run_dir = fuzz_dir(),
		.own_name = "somebody",
		.settings = &the.settings,
		.journal = journal,
	};
	the.services = (struct services){
		.base = the.base,
		.registry = registry_new(&config),
		.targets = target_set_new(),
		.settings = &the.settings,
		.journal = journal,
		.socket = "/nonexistent/s",
		.state_dir = fuzz_dir(),
		.targets_dir = "/nonexistent/t",
		.log = "",
		.settings_path = "",
		.own = &the.own,
		.users = users_new(the.base),
		.admin_group = (gid_t)-1,
		.on_shutdown = on_shutdown,
	};
	if (target_set_load(the.services.targets, "config/targets", &err) < 0)
		abort(); /* not begun in the top directory */
	const struct remote_config remote = {
		.base = the.base,
		.state_dir = fuzz_dir(),
		.module = "/nonexistent/m",
		.settings = &the.settings,
		.users = the.services.users,
		.own = &the.own,
	};
	if (remote_open(&remote, &the.services.remote, &err) < 0)
		abort();
	struct uploads_config uploads = { fuzz_dir(), &the.settings, the.services.registry };
	the.services.uploads = uploads_new(&uploads);
	auth_init(&the.services);
	svc_instances_init(&the.services);
	take_methods();
}

static int listen_anywhere(char *path, size_t size)
{
	struct sockaddr_un {
		sa_family_t family;
		char path[108];
	} at = { .family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(at);
	if (bind(fd, (struct sockaddr *)&at, sizeof(sa_family_t)) < 0 || listen(fd, 5) < 0 || /* a name of the kernel's choice */
	    getsockname(fd, (struct sockaddr *)&at, &len) < 0 || len > size)
		abort();
	memcpy(path, &at, len);
	return fd;
}

static int connect_to(const char *at)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connect(fd, (const struct sockaddr *)at, sizeof(sa_family_t) + 6) < 0)
		abort();
	return fd;
}

static void feed(int fd, const uint8_t *data, size_t size, size_t piece)
{
	for (size_t at = 0; at < size; at += piece) {
		if (send(fd, data + at, size - at < piece ? size - at : piece, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
		fuzz_turns(the.base, 3);
		fuzz_drain(fd);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
	const struct rpc_method *const tables[] = { the.methods, NULL };
	char at[128];
	if (the.base == NULL)
		begin();
	struct rpc_server_config config = { .base = the.base,
					    .tables = tables,
					    .ctx = &the.services,
					    .descriptors = wire_descriptors,
					    .descriptors_len = (size_t)(wire_descriptors_end - wire_descriptors) };
	unsigned how = fuzz_choose(&data, &size, 256);
	struct rpc_server *server = rpc_server_new(&config, listen_anywhere(at, sizeof(at)));
	int fd = connect_to(at);
	if (how % 2)
		feed(fd, preface, sizeof(preface), sizeof(preface));
	feed(fd, data, size, how / 2 > 0 ? 29 * (size_t)(how / 2) * (how / 2) : 65536);
	fuzz_turns(the.base, 3);
	fuzz_drain(fd);
	close(fd);
	fuzz_turns(the.base, 3);
	rpc_server_free(server);
	return 0;
}
