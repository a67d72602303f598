/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/paths.h"
#include "config/settings.h"
#include "wire/mem.h"

static const char usage[] =
	"usage: pwemud [options]\n"
	"The supervisor daemon of pwemu: owns emulators and their channels. Clients start it by themselves.\n"
	"\n"
	"  -f, --foreground        stay in the foreground, log to stderr\n"
	"      --system            serve all users of the host, as root: instances are their users' (defaults: /run/pwemu, "
	"/var/lib/pwemu,\n"
	"                          /etc/pwemu/pwemud.json)\n"
	"      --socket PATH       control socket (default: $XDG_RUNTIME_DIR/pwemu/control.sock, else /tmp/pwemu-<uid>/control.sock)\n"
	"      --state-dir DIR     records and logs (default: $XDG_STATE_HOME/pwemu, else ~/.local/state/pwemu)\n"
	"      --run-dir DIR       FIFOs and sockets of instances (default: run in the state directory; with --system /run/pwemu)\n"
	"      --targets-dir DIR   presets (default: share/pwemu/targets of the installation)\n"
	"      --config FILE       settings (default: $XDG_CONFIG_HOME/pwemu/pwemud.json, else ~/.config/pwemu/pwemud.json)\n"
	"      --listen tcp://HOST:PORT  serve the network as well, under TLS; [ADDRESS]:PORT for IPv6, port 0: any that is free;\n"
	"                          may be repeated\n"
	"      --log-level LEVEL   error, warning, info (default) or debug\n"
	"      --auto              end when idle (clients use this)\n"
	"      --idle SECONDS      with --auto: how long after the last instance ended, instead of the setting\n"
	"      --ready-fd N        write \"ok\\n\" or an error to this descriptor when started\n"
	"  -h, --help              this text\n"
	"      --version           version\n"
	"\n"
	"The settings are a JSON object of these keys, with their defaults:\n";
static const char usage_end[] = "SIGHUP and `pwemu daemon reload` read settings and targets again.\n";

enum {
	OPT_SOCKET = 256,
	OPT_STATE_DIR,
	OPT_RUN_DIR,
	OPT_SYSTEM,
	OPT_TARGETS_DIR,
	OPT_CONFIG,
	OPT_LISTEN,
	OPT_LOG_LEVEL,
	OPT_AUTO,
	OPT_IDLE,
	OPT_READY_FD,
	OPT_LOCK_FD,
	OPT_VERSION
};

static const struct option long_options[] = {
	{ "foreground", no_argument, NULL, 'f' },
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
	{ "run-dir", required_argument, NULL, OPT_RUN_DIR },
	{ "system", no_argument, NULL, OPT_SYSTEM },
	{ "targets-dir", required_argument, NULL, OPT_TARGETS_DIR },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "auto", no_argument, NULL, OPT_AUTO },
	{ "idle", required_argument, NULL, OPT_IDLE },
	{ "ready-fd", required_argument, NULL, OPT_READY_FD },
	{ "lock-fd", required_argument, NULL, OPT_LOCK_FD }, /* not for people */
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static void options_bad(const char *what, const char *value)
{
	fprintf(stderr, "pwemud: %s \"%s\" is not valid; `pwemud --help` explains\n", what, value);
	exit(2);
}

static unsigned options_number(const char *name, const char *value, unsigned max)
{
	char *end;
	errno = 0;
	unsigned long number = strtoul(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || number > max)
		options_bad(name, value);
	return (unsigned)number;
}

/* Absolute, since the daemon leaves for "/". */
static void options_path(const char *name, const char *value, char **out)
{
	char *cwd = value[0] == '/' ? NULL : getcwd(NULL, 0);
	char *path = value[0] == '/' ? xstrdup(value) : xasprintf("%s/%s", cwd != NULL ? cwd : "", value);
	if (value[0] == '\0' || path[0] != '/' || strlen(path) >= PATHS_MAX)
		options_bad(name, value);
	free(cwd);
	free(*out);
	*out = path;
}

static const struct {
	int opt;
	const char *name;
	size_t offset; /* in struct options */
} options_paths[] = {
	{ OPT_SOCKET, "--socket", offsetof(struct options, socket) },
	{ OPT_STATE_DIR, "--state-dir", offsetof(struct options, state_dir) },
	{ OPT_RUN_DIR, "--run-dir", offsetof(struct options, run_dir) },
	{ OPT_TARGETS_DIR, "--targets-dir", offsetof(struct options, targets_dir) },
	{ OPT_CONFIG, "--config", offsetof(struct options, settings) },
};
#define OPTIONS_PATHS (sizeof(options_paths) / sizeof(options_paths[0]))

static char **options_path_at(const struct options *o, size_t i)
{
	return (char **)(void *)((char *)(uintptr_t)o + options_paths[i].offset);
}

static void options_apply(struct options *o, int opt)
{
	for (size_t i = 0; i < OPTIONS_PATHS; i++) {
		if (opt != options_paths[i].opt)
			continue;
		options_path(options_paths[i].name, optarg, options_path_at(o, i));
		return;
	}
	switch (opt) {
	case 'f':
		o->foreground = true;
		break;
	case OPT_LISTEN:
		strv_add(&o->listen, optarg);
		break;
	case OPT_LOG_LEVEL:
		if (log_level_parse(optarg, &o->level) < 0)
			options_bad("--log-level", optarg);
		break;
	case OPT_SYSTEM:
		o->is_system = true;
		break;
	case OPT_AUTO:
		o->is_auto = true;
		break;
	case OPT_IDLE:
		o->idle_ms = (int64_t)options_number("--idle", optarg, 1000000) * 1000;
		break;
	case OPT_READY_FD:
		o->ready_fd = (int)options_number("--ready-fd", optarg, 65535);
		break;
	case OPT_LOCK_FD:
		o->lock_fd = (int)options_number("--lock-fd", optarg, 65535);
		break;
	case OPT_VERSION:
		puts("pwemud " PWEMU_VERSION);
		exit(0);
	case 'h':
		fputs(usage, stdout);
		settings_help(stdout);
		fputs(usage_end, stdout);
		exit(0);
	default:
		exit(2);
	}
}

void options_parse(struct options *o, int argc, char **argv)
{
	*o = (struct options){ .ready_fd = -1, .lock_fd = -1, .level = LOG_LEVEL_INFO, .idle_ms = -1 };
	strv_init(&o->listen);
	for (int opt; (opt = getopt_long(argc, argv, "fh", long_options, NULL)) != -1;)
		options_apply(o, opt);
	if (optind < argc)
		options_bad("argument", argv[optind]);
}

void options_argv(const struct options *o, struct strv *argv, const char *name, int lock_fd)
{
	strv_add(argv, name);
	strv_addf(argv, "--lock-fd=%d", lock_fd);
	strv_addf(argv, "--log-level=%s", log_level_name(o->level));
	if (o->foreground)
		strv_add(argv, "--foreground");
	if (o->is_auto)
		strv_add(argv, "--auto");
	if (o->is_system)
		strv_add(argv, "--system");
	if (o->idle_ms >= 0)
		strv_addf(argv, "--idle=%lld", (long long)o->idle_ms / 1000);
	for (size_t i = 0; i < OPTIONS_PATHS; i++)
		if (*options_path_at(o, i) != NULL)
			strv_addf(argv, "%s=%s", options_paths[i].name, *options_path_at(o, i));
	for (size_t i = 0; i < o->listen.count; i++)
		strv_addf(argv, "--listen=%s", o->listen.items[i]);
}
