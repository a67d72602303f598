/* SPDX-License-Identifier: Apache-2.0 */
#include "config/settings.h"

#include "config/field.h"

#define SETTING(member, ...) FIELD(struct settings, member, __VA_ARGS__)
#define BYTES_MAX            (UINT64_C(1) << 50)
#define COUNT_MAX            1000000
#define TIME_MAX             (UINT64_C(1000) * 365 * 24 * 3600 * 1000)

static const char *const log_full[] = { "wait", "drop-oldest", NULL };

static const char *const isolate[] = { "auto", "off", "required", NULL };

static const struct field rows[] = {
	SETTING(port_first, "ports", FIELD_RANGE, .min = 1, .max = 65535, .initial = "20000-29999",
		.help = "TCP ports of endpoints for which no port was asked"),
	SETTING(log_limit_bytes, "log-limit", FIELD_SIZE, .min = 4096, .max = BYTES_MAX, .initial = "256M",
		.help = "newest bytes that are kept of a channel, where its target says nothing"),
	SETTING(log_drop_oldest, "log-full", FIELD_WORD, .words = log_full, .initial = "wait",
		.help = "on a full disk: wait (the emulator waits for room) or drop-oldest (the oldest data of its channel goes)"),
	SETTING(keep_ms, "keep", FIELD_DURATION, .max = TIME_MAX, .initial = "7d",
		.help = "how long ended instances and their logs are kept"),
	SETTING(keep_bytes, "keep-bytes", FIELD_SIZE, .max = BYTES_MAX, .initial = "2G",
		.help = "how much disk they may take together; the oldest go first"),
	SETTING(isolate, "isolate", FIELD_WORD, .words = isolate, .initial = "auto",
		.help = "a private network for emulators whose target says nothing: auto (where the host allows it; QEMU: unless its "
			"arguments speak of a network), off, required"),
	SETTING(admin_group, "admin-group", FIELD_TEXT, .initial = "",
		.help = "group whose members control all instances of a daemon of many users, as root does"),
	SETTING(user_instances, "user-instances", FIELD_COUNT, .max = COUNT_MAX, .initial = "100",
		.help = "instances that one user may have at a time (0: no limit, as for the other limits)"),
	SETTING(all_instances, "all-instances", FIELD_COUNT, .max = COUNT_MAX, .initial = "2000",
		.help = "instances that may be at a time"),
	SETTING(user_queued, "user-queued", FIELD_COUNT, .max = COUNT_MAX, .initial = "1000",
		.help = "instances of one user that may wait for their turn (max-running)"),
	SETTING(user_log_bytes, "user-log-bytes", FIELD_SIZE, .max = BYTES_MAX, .initial = "16G",
		.help = "what a user's logs may take on disk before nothing more is started for him"),
	SETTING(emulator_memory_bytes, "emulator-memory", FIELD_SIZE, .max = BYTES_MAX, .initial = "0",
		.help = "address space that an emulator may have, its code and buffers (1 GiB of QEMU's) included (RLIMIT_AS); with "
			"`cgroup` the memory that it and its commands may use (memory.max). 0: no limit"),
	SETTING(emulator_cpu_ms, "emulator-cpu", FIELD_DURATION, .max = TIME_MAX, .initial = "0s",
		.help = "CPU time that an emulator may use in one boot, in whole seconds (RLIMIT_CPU; 0: no limit)"),
	SETTING(cgroup, "cgroup", FIELD_TEXT, .initial = "",
		.help = "directory of a control group (v2) that is delegated to the daemon and has no process of its own: emulators run in "
			"groups below it"),
	SETTING(user_memory_bytes, "user-memory", FIELD_SIZE, .max = BYTES_MAX, .initial = "0",
		.help = "memory that all emulators of one user may use together (needs `cgroup`; 0: no limit)"),
	SETTING(user_cpu_percent, "user-cpu-percent", FIELD_COUNT, .max = COUNT_MAX, .initial = "0",
		.help = "CPU time that all emulators of one user may use together, in percent of one CPU (needs `cgroup`; 0: no limit)"),
	SETTING(user_connections, "user-connections", FIELD_COUNT, .max = COUNT_MAX, .initial = "1000",
		.help = "connections that one user may have open"),
	SETTING(user_requests, "user-requests", FIELD_COUNT, .max = COUNT_MAX, .initial = "2000",
		.help = "calls that one user may make in a second, over ten seconds"),
	SETTING(lease_grace_ms, "lease-grace", FIELD_DURATION, .max = TIME_MAX, .initial = "10s",
		.help = "how long an instance leased to a client waits for it when its connection was cut or the daemon was restarted"),
	SETTING(max_running, "max-running", FIELD_COUNT, .max = 100000, .initial = "0",
		.help = "how many instances may run at once; starts beyond that wait in a queue, fair to all users; 0: no limit"),
	SETTING(upload_limit_bytes, "upload-limit", FIELD_SIZE, .max = BYTES_MAX, .initial = "256M",
		.help = "how large an image may be that a client on another machine sends"),
	SETTING(upload_store_bytes, "upload-store", FIELD_SIZE, .max = BYTES_MAX, .initial = "2G",
		.help = "how much disk a user's images take that were sent; the oldest that no instance uses go first"),
	SETTING(listen, "listen", FIELD_TEXT, .initial = "",
		.help = "network addresses to serve, as --listen has them, with blanks between; needs a new start"),
	SETTING(tls_cert, "tls-cert", FIELD_TEXT, .initial = "",
		.help = "certificate that is shown there, with its chain (PEM file); without one the daemon makes its own"),
	SETTING(tls_key, "tls-key", FIELD_TEXT, .initial = "", .help = "its key (PEM file)"),
	SETTING(tls_client_ca, "tls-client-ca", FIELD_TEXT, .initial = "",
		.help = "CA of clients (PEM file): with a certificate of it they need no token and act as the user of its common name "
			"(root: tls-users)"),
	SETTING(tls_users, "tls-users", FIELD_TEXT, .initial = "",
		.help = "NAME=USER with blanks between: with a certificate of common name NAME one acts as USER"),
	SETTING(idle_ms, "idle", FIELD_DURATION, .max = TIME_MAX, .initial = "10m",
		.help = "how long after its last instance ended a daemon ends that a client has started"),
};
static const struct fields fields = FIELDS(rows);

const char *settings_isolate_word(enum settings_isolate word)
{
	return isolate[word];
}

void settings_init(struct settings *settings)
{
	*settings = (struct settings){ 0 };
	fields_reset(&fields, settings);
}

/* What no key says of itself. */
static int settings_check(const struct settings *settings, const char *path, struct err *err)
{
	if (settings->cgroup[0] != '\0' || (settings->user_memory_bytes == 0 && settings->user_cpu_percent == 0))
		return 0;
	return err_set(err, ERR_INVALID_ARGUMENT, "%s: %s needs \"cgroup\", the control group that is delegated to the daemon", path,
		       settings->user_memory_bytes > 0 ? "user-memory" : "user-cpu-percent");
}

int settings_load(const char *path, bool is_required, struct settings *out, struct err *err)
{
	struct settings made;
	struct json_file file;
	settings_init(&made);
	if (json_load(path, &file, err) < 0) {
		if (is_required || err->code != ERR_NOT_FOUND)
			return -1;
		*err = (struct err)ERR_INIT;
		*out = made;
		return 0;
	}
	struct json_at root = json_root(&file);
	int rc = fields_read(&fields, &root, &made, err);
	json_fini(&file);
	rc = rc == 0 ? settings_check(&made, path, err) : -1;
	if (rc == 0)
		*out = made;
	return rc;
}

void settings_help(FILE *to)
{
	for (size_t i = 0; i < fields.count; i++)
		fprintf(to, "  %-18s%-14s%s\n", rows[i].key, rows[i].initial, rows[i].help);
}
