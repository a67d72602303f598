/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pwemud: puts the parts together and takes them down again. Start-up is always re-adoption: what an earlier daemon left running is
 * taken over before the first client is served.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/strv.h"
#include "base/systemd.h"
#include "config/paths.h"
#include "config/settings.h"
#include "control.h"
#include "instance/journal.h"
#include "instance/uploads.h"
#include "loop/inherit.h"
#include "loop/loop.h"
#include "loop/timer.h"
#include "manager.h"
#include "options.h"
#include "rpc/auth.h"
#include "rpc/remote.h"
#include "rpc/service.h"
#include "wire/mem.h"

#define DAEMON_DRAIN_MS     1000
#define DAEMON_CONNECTIONS  4096
#define DAEMON_LOCK_MS      5000
#define DAEMON_LOCK_SOON_MS 500 /* a child of a daemon that was killed holds its lock for a moment */

extern const unsigned char wire_descriptors[], wire_descriptors_end[];

struct daemon {
	struct options options;
	struct paths paths;
	struct user own;
	char log_path[PATHS_MAX + 16];
	struct event_base *base;
	struct control *control;
	struct rpc_server *server;
	struct services services;
	struct settings settings;
	struct journal *journal;
	struct registry_observer observer;
	struct timer *idle_timer;
	struct inherit *inherit;
	struct manager *manager;
	int passed_fd; /* control socket of the service manager's making; -1: none */
	struct loop_watch *signals[3];
	bool is_ending;
};

/* ---------------------------------------------------------------- readiness */

static void daemon_tell(const struct options *o, const char *text)
{
	if (o->ready_fd < 0)
		return;
	ssize_t n;
	do
		n = write(o->ready_fd, text, strlen(text));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EPIPE)
		log_warn(NULL, "who started us cannot be told: %s", strerror(errno));
	close(o->ready_fd);
}

static int daemon_fail(struct daemon *d, const struct err *err)
{
	char *text = xasprintf("%s\n", err->msg);
	log_error(NULL, "%s", err->msg);
	daemon_tell(&d->options, text);
	free(text);
	return 1;
}

static void daemon_close_stdio(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; null >= 0 && fd <= STDERR_FILENO; fd++)
		(void)dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
}

/* Whatever the starter had open is not ours: a pipe kept open would keep its reader waiting. */
static void daemon_close_inherited(int keep, int also)
{
	int kept[] = { keep < also ? keep : also, keep < also ? also : keep };
	unsigned from = STDERR_FILENO + 1;
	for (size_t i = 0; i < 2; i++) {
		if (kept[i] < (int)from)
			continue;
		if (kept[i] > (int)from)
			(void)close_range(from, (unsigned)kept[i] - 1, 0);
		(void)fcntl(kept[i], F_SETFD, FD_CLOEXEC);
		from = (unsigned)kept[i] + 1;
	}
	(void)close_range(from, ~0u, 0);
}

/* Of a daemon that a client starts nothing was promised to us, but perhaps to the client. */
static void daemon_take_passed(struct daemon *d)
{
	systemd_take(d->options.foreground && !d->options.is_auto);
	d->passed_fd = systemd_listener(d->paths.control_socket, sizeof(d->paths.control_socket));
}

/* Goes to the background; the parent waits for the child's word and exits with it. */
static void daemon_detach(struct options *o)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return;
	pid_t pid = fork();
	if (pid < 0)
		return;
	if (pid == 0) {
		close(fds[0]);
		if (o->ready_fd >= 0)
			close(o->ready_fd); /* our parent passes our word on */
		o->ready_fd = fds[1];
		setsid();
		daemon_close_stdio();
		return;
	}
	close(fds[1]);
	char text[1200] = "";
	ssize_t n = read(fds[0], text, sizeof(text) - 1);
	bool is_ok = n >= 3 && strcmp(text, "ok\n") == 0;
	if (n <= 0)
		snprintf(text, sizeof(text), "ended before it was ready\n");
	daemon_tell(o, text);
	if (!is_ok)
		fprintf(stderr, "pwemud: %s", text);
	_exit(is_ok ? 0 : 1);
}

/* ---------------------------------------------------------------- end */

static void daemon_on_drained(void *ctx)
{
	loop_stop(((struct daemon *)ctx)->base);
}

static void daemon_end(void *ctx)
{
	struct daemon *d = ctx;
	if (d->is_ending)
		return;
	d->is_ending = d->services.is_ending = true;
	manager_leaving(d->services.must_restart);
	log_info(NULL, "ending, %zu instances run on", registry_running(d->services.registry));
	journal_tell(d->journal, PWEMU__V1__EVENT_KIND__EVENT_KIND_DAEMON, "pwemud (process %d) ends, %zu instances run on", (int)getpid(),
		     registry_running(d->services.registry));
	rpc_server_drain(d->server, DAEMON_DRAIN_MS, daemon_on_drained, d);
}

static void daemon_on_hangup(void *ctx)
{
	struct daemon *d = ctx;
	struct err err = ERR_INIT;
	manager_reloading();
	if (service_reload_settings(&d->services, "SIGHUP", &err) < 0)
		log_error(NULL, "%s", err.msg);
	if (service_reload_targets(&d->services, "SIGHUP", &err) < 0)
		log_error(NULL, "%s", err.msg);
	manager_reloaded(d->manager);
}

static uint64_t daemon_idle_ms(const struct daemon *d)
{
	return d->options.idle_ms >= 0 ? (uint64_t)d->options.idle_ms : d->settings.idle_ms;
}

/* An automatic daemon ends a while after its last instance did; armed by that end. */
static void daemon_on_idle(void *ctx)
{
	struct daemon *d = ctx;
	if (registry_running(d->services.registry) == 0)
		daemon_end(d);
}

static void daemon_on_change(void *ctx, struct instance *inst)
{
	struct daemon *d = ctx;
	if (!instance_is_over(inst))
		timer_disarm(d->idle_timer);
	else if (registry_running(d->services.registry) == 0)
		timer_arm(d->idle_timer, daemon_idle_ms(d));
}

static void daemon_guard_idle(struct daemon *d)
{
	if (!d->options.is_auto)
		return;
	d->idle_timer = timer_new(d->base, daemon_on_idle, d);
	d->observer = (struct registry_observer){ .on_change = daemon_on_change, .ctx = d };
	registry_observe(d->services.registry, &d->observer);
	if (registry_running(d->services.registry) == 0)
		timer_arm(d->idle_timer, daemon_idle_ms(d));
}

/* ---------------------------------------------------------------- start */

static int daemon_choose_state_dir(struct daemon *d, struct err *err)
{
	if (d->options.state_dir != NULL)
		snprintf(d->paths.state_dir, sizeof(d->paths.state_dir), "%s", d->options.state_dir);
	if (paths_make_private_dir(d->paths.state_dir, err) == 0 && access(d->paths.state_dir, W_OK) == 0)
		return 0;
	if (d->options.state_dir != NULL)
		return err_is_set(err) ? -1 : err_sys(err, errno, "write to state directory \"%s\"", d->paths.state_dir);
	snprintf(d->paths.state_dir, sizeof(d->paths.state_dir), "%s", d->paths.fallback_state_dir);
	return paths_make_private_dir(d->paths.state_dir, err);
}

/* Users pass through these to what is theirs in them; what is not is closed to them. */
static int daemon_open_dirs(struct daemon *d, struct err *err)
{
	static const char *const rooms[] = { "", "/instances", "/data" };
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		char dir[PATHS_MAX + 16];
		snprintf(dir, sizeof(dir), "%s%s", d->paths.state_dir, rooms[i]);
		if (paths_make_public_dir(dir, err) < 0)
			return -1;
	}
	return paths_make_public_dir(d->paths.run_dir, err);
}

static int daemon_choose_run_dir(struct daemon *d, struct err *err)
{
	if (d->options.run_dir != NULL)
		snprintf(d->paths.run_dir, sizeof(d->paths.run_dir), "%s", d->options.run_dir);
	else if (d->paths.run_dir[0] == '\0' &&
		 snprintf(d->paths.run_dir, sizeof(d->paths.run_dir), "%s/run", d->paths.state_dir) >= PATHS_MAX)
		return err_set(err, ERR_INVALID_ARGUMENT, "state directory \"%s\": its path is too long", d->paths.state_dir);
	return d->options.is_system ? daemon_open_dirs(d, err) : 0;
}

static int daemon_use_system(struct daemon *d, struct err *err)
{
	if (geteuid() != 0)
		return err_set(err, ERR_PERMISSION_DENIED,
			       "--system is for root, who alone can start emulators as their users; without it "
			       "the daemon serves its own user");
	paths_use_system(&d->paths);
	return 0;
}

static int daemon_choose_paths(struct daemon *d, struct err *err)
{
	struct options *o = &d->options;
	char passed[sizeof(d->paths.control_socket)];
	snprintf(passed, sizeof(passed), "%s", d->paths.control_socket);
	if (paths_init(&d->paths, err) < 0 || (o->is_system && daemon_use_system(d, err) < 0) || daemon_choose_state_dir(d, err) < 0 ||
	    daemon_choose_run_dir(d, err) < 0)
		return -1;
	if (d->passed_fd >= 0)
		snprintf(d->paths.control_socket, sizeof(d->paths.control_socket), "%s", passed);
	else if (o->socket != NULL)
		snprintf(d->paths.control_socket, sizeof(d->paths.control_socket), "%s", o->socket);
	else if (!o->is_system && paths_make_runtime_dir(&d->paths, err) < 0)
		return -1;
	if (o->targets_dir != NULL)
		snprintf(d->paths.targets_dir, sizeof(d->paths.targets_dir), "%s", o->targets_dir);
	if (!o->foreground)
		snprintf(d->log_path, sizeof(d->log_path), "%s/pwemud.log", d->paths.state_dir);
	return log_setup(o->foreground ? NULL : d->log_path, o->level, err);
}

/* Before anything is served or adopted: who has made a mistake in them is to be told, not surprised. */
static int daemon_load_settings(struct daemon *d, struct err *err)
{
	settings_init(&d->settings);
	if (d->options.settings != NULL)
		snprintf(d->paths.settings, sizeof(d->paths.settings), "%s", d->options.settings);
	return d->paths.settings[0] == '\0' ? 0 : settings_load(d->paths.settings, d->options.settings != NULL, &d->settings, err);
}

static int daemon_leave_cwd(struct err *err)
{
	return chdir("/") < 0 ? err_sys(err, errno, "enter \"/\"") : 0;
}

static void daemon_raise_limits(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void daemon_name_owner(struct daemon *d)
{
	const struct passwd *entry = getpwuid(geteuid()); /* before the loop: it may ask the network */
	user_init(&d->own, geteuid(), getegid(), NULL, 0, entry != NULL ? entry->pw_name : NULL);
}

static void daemon_on_disconnect(void *ctx, const struct rpc_peer *peer)
{
	struct services *services = ctx;
	const struct daemon *d = services->ctx;
	if (!d->is_ending) /* else it is we who leave: the next daemon waits for the client */
		registry_connection_lost(services->registry, peer->connection);
}

static bool daemon_is_needed(void *ctx, const struct rpc_peer *peer)
{
	const struct services *services = ctx;
	return registry_connection_is_needed(services->registry, peer->connection);
}

/* Half of the descriptors are for instances; 0: as many as is usual. */
static uint32_t daemon_max_connections(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= 2 * DAEMON_CONNECTIONS)
		return DAEMON_CONNECTIONS;
	return limit.rlim_cur >= 64 ? (uint32_t)limit.rlim_cur / 2 : 32;
}

static void daemon_serve(struct daemon *d, int listen_fd)
{
	static const struct rpc_method *const tables[] = { svc_instances_methods,
							   svc_channels_methods,
							   svc_properties_methods,
							   svc_targets_methods,
							   svc_daemon_methods,
							   svc_tokens_methods,
							   NULL };
	struct rpc_server_config config = {
		.base = d->base,
		.tables = tables,
		.admit = auth_admit,
		.authorize = auth_authorize,
		.authenticate = auth_authenticate,
		.on_disconnect = daemon_on_disconnect,
		.is_needed = daemon_is_needed,
		.max_connections = daemon_max_connections(),
		.ctx = &d->services,
		.descriptors = wire_descriptors,
		.descriptors_len = (size_t)(wire_descriptors_end - wire_descriptors),
	};
	d->server = d->services.server = rpc_server_new(&config, listen_fd);
	remote_serve(d->services.remote, d->server);
}

static void daemon_on_listen(void *ctx, int listen_fd)
{
	rpc_server_relisten(((struct daemon *)ctx)->server, listen_fd);
}

static void daemon_load_targets(struct daemon *d)
{
	struct err err = ERR_INIT;
	d->services.targets = target_set_new();
	if (target_set_load(d->services.targets, d->paths.targets_dir, &err) < 0)
		log_error(NULL, "no targets: %s", err.msg);
	for (size_t i = 0; i < target_set_error_count(d->services.targets); i++)
		log_error(NULL, "%s", target_set_error(d->services.targets, i));
}

static void daemon_make_services(struct daemon *d)
{
	struct registry_config registry = {
		.base = d->base,
		.shim = d->paths.shim,
		.state_dir = d->paths.state_dir,
		.run_dir = d->paths.run_dir,
		.is_system = d->options.is_system,
		.own_name = d->options.is_system ? NULL : d->own.name,
		.settings = &d->settings,
		.journal = d->journal,
	};
	d->services = (struct services){
		.base = d->base,
		.registry = registry_new(&registry),
		.settings = &d->settings,
		.journal = d->journal,
		.socket = d->paths.control_socket,
		.state_dir = d->paths.state_dir,
		.targets_dir = d->paths.targets_dir,
		.log = d->log_path,
		.settings_path = d->paths.settings,
		.settings_are_required = d->options.settings != NULL,
		.own = &d->own,
		.is_system = d->options.is_system,
		.users = users_new(d->base),
		.is_auto = d->options.is_auto,
		.started_ns = clock_wall_ns(),
		.on_shutdown = daemon_end,
		.ctx = d,
	};
	struct uploads_config uploads = { d->paths.state_dir, &d->settings, d->services.registry };
	d->services.uploads = uploads_new(&uploads);
}

static int daemon_open_network(struct daemon *d, struct err *err)
{
	const struct remote_config config = {
		.base = d->base,
		.module = d->paths.tls_module,
		.state_dir = d->paths.state_dir,
		.settings = &d->settings,
		.listen = d->options.listen.items,
		.listen_count = d->options.listen.count,
		.own = &d->own,
		.is_system = d->services.is_system,
		.users = d->services.users,
	};
	return remote_open(&config, &d->services.remote, err);
}

/* Also where any port was asked for: clients have written down the one that it became, and come back to it after a restart. */
static void daemon_keep_ports(struct daemon *d)
{
	struct strv *listen = &d->options.listen;
	for (size_t i = 0; i < listen->count; i++) { /* addresses are in the order of the options */
		const char *port = strrchr(listen->items[i], ':'), *got = strrchr(remote_address(d->services.remote, i), ':');
		char *kept = xasprintf("%.*s%s", (int)(port - listen->items[i]), listen->items[i], got);
		free(listen->items[i]);
		listen->items[i] = kept;
	}
}

static void daemon_adopt(struct daemon *d)
{
	journal_tell(d->journal, PWEMU__V1__EVENT_KIND__EVENT_KIND_DAEMON, "pwemud " PWEMU_VERSION " (process %d) begins", (int)getpid());
	registry_adopt(d->services.registry);
	size_t count = registry_count(d->services.registry);
	if (count > 0)
		journal_tell(d->journal, PWEMU__V1__EVENT_KIND__EVENT_KIND_DAEMON, "pwemud (process %d) has adopted %zu instances, %zu run",
			     (int)getpid(), count, registry_running(d->services.registry));
}

static int daemon_start(struct daemon *d, struct err *err)
{
	int listen_fd;
	struct control_config control = { .state_dir = d->paths.state_dir,
					  .socket = d->paths.control_socket,
					  .mode = d->options.is_system ? 0666 : 0600,
					  .wait_ms = d->options.is_auto ? DAEMON_LOCK_MS : DAEMON_LOCK_SOON_MS,
					  .listen_fd = d->passed_fd,
					  .lock_fd = d->options.lock_fd };
	if (control_open(&control, &d->control, &listen_fd, err) < 0)
		return -1;
	daemon_raise_limits();
	daemon_name_owner(d);
	d->base = loop_new();
	d->inherit = inherit_children(d->base);
	d->journal = journal_open(d->base, d->paths.state_dir);
	daemon_make_services(d);
	auth_init(&d->services);
	if (daemon_open_network(d, err) < 0) {
		close(listen_fd);
		return -1;
	}
	daemon_keep_ports(d);
	daemon_load_targets(d);
	daemon_adopt(d);
	svc_instances_init(&d->services);
	daemon_serve(d, listen_fd);
	control_guard(d->control, d->base, daemon_on_listen, d);
	d->signals[0] = loop_watch_signal(d->base, SIGTERM, daemon_end, d);
	d->signals[1] = loop_watch_signal(d->base, SIGINT, daemon_end, d);
	d->signals[2] = loop_watch_signal(d->base, SIGHUP, daemon_on_hangup, d);
	daemon_guard_idle(d);
	return 0;
}

/* Returns the lock of the state directory where it is to be kept for the next program, else -1. */
static int daemon_stop(struct daemon *d)
{
	for (size_t i = 0; i < sizeof(d->signals) / sizeof(d->signals[0]); i++)
		loop_watch_free(d->signals[i]);
	rpc_server_free(d->server);
	int lock_fd = d->services.must_restart ? control_keep_lock(d->control) : -1;
	d->passed_fd = d->services.must_restart ? control_keep_passed(d->control) : -1;
	control_close(d->control);
	timer_free(d->idle_timer);
	manager_free(d->manager);
	inherit_free(d->inherit);
	uploads_free(d->services.uploads);
	registry_free(d->services.registry);
	journal_free(d->journal);
	target_set_free(d->services.targets);
	auth_fini(&d->services);
	users_free(d->services.users);
	remote_close(d->services.remote);
	user_fini(&d->own);
	loop_free(d->base);
	return lock_fd;
}

/* Begins again as the program that is installed now, in this process: with the lock held all the time, no other daemon can come between.
 * Paths are absolute by now, and we stay in the background if we are. */
static int daemon_replace(const struct daemon *d, const char *name, int lock_fd)
{
	struct strv argv;
	strv_init(&argv);
	options_argv(&d->options, &argv, name, lock_fd);
	log_info(NULL, "beginning again as \"%s\"", d->paths.daemon);
	systemd_hand_on(d->passed_fd);
	execv(d->paths.daemon, argv.items);
	log_error(NULL, "begin again as \"%s\": %s", d->paths.daemon, strerror(errno));
	strv_fini(&argv);
	return 1;
}

int main(int argc, char **argv)
{
	static struct daemon d;
	struct err err = ERR_INIT;
	options_parse(&d.options, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);   /* a log at its limit is an error, not an end */
	unsetenv("PWEMU_INSTANCE"); /* we are no part of the instance that may have started us */
	umask(077);
	daemon_take_passed(&d);
	daemon_close_inherited(d.options.lock_fd >= 0 ? d.options.lock_fd : d.options.ready_fd, d.passed_fd);
	if (!d.options.foreground && !d.options.is_auto && d.options.lock_fd < 0)
		daemon_detach(&d.options);
	if (daemon_choose_paths(&d, &err) < 0 || daemon_load_settings(&d, &err) < 0 || daemon_leave_cwd(&err) < 0 ||
	    daemon_start(&d, &err) < 0) {
		control_close(d.control);
		return daemon_fail(&d, &err);
	}
	log_info(NULL, "pwemud " PWEMU_VERSION " serves \"%s\", %zu instances, %zu run", d.paths.control_socket,
		 registry_count(d.services.registry), registry_running(d.services.registry));
	d.manager = manager_ready(d.base, d.services.registry);
	daemon_tell(&d.options, "ok\n");
	loop_run(d.base);
	int lock_fd = daemon_stop(&d);
	return d.services.must_restart ? daemon_replace(&d, argv[0], lock_fd) : 0;
}
