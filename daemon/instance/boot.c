/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One life of the emulator process: its run directory <state>/run/<id> with FIFOs and sockets, its shim, the driver's link.
 *
 * A start is short because its parts overlap: while the helper looks at the images the FIFOs and sockets are made (boot_lay_out), and
 * while the emulator links its libraries the logs are opened (boot_open_logs); what it prints meanwhile waits in the FIFOs.
 */
#include "instance/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/dirs.h"
#include "config/settings.h"
#include "instance/boot_int.h"
#include "instance/commands.h"
#include "instance/fifo.h"
#include "instance/files.h"
#include "loop/cgroup.h"
#include "loop/netshare.h"
#include "shim/protocol.h"
#include "wire/addr.h"
#include "wire/mem.h"

extern char **environ;

static void boot_init(struct boot *b, struct instance *inst)
{
	*b = (struct boot){ .inst = inst, .run_dir = -1, .run_path = instance_run_path(inst) };
	for (size_t i = 0; i < PLAN_CHANNELS_MAX; i++)
		b->ends[i] = (struct fifo_ends)FIFO_ENDS_NONE;
	plan_init(&b->plan);
}

static void boot_fini(struct boot *b)
{
	for (size_t i = 0; i < b->owned_count; i++)
		close(b->owned[i]);
	for (size_t i = 0; i < PLAN_CHANNELS_MAX; i++)
		fifo_close_ends(&b->ends[i]);
	for (size_t i = 0; i < b->endpoint_count; i++)
		endpoint_fds_close(&b->endpoints[i].fds);
	if (b->run_dir >= 0)
		close(b->run_dir);
	plan_fini(&b->plan);
	free(b->run_path);
}

static void boot_hold(struct boot *b, const char *name, const char *suffix, int fd)
{
	char *full = b->held_names[b->held_count];
	snprintf(full, sizeof(b->held_names[0]), "%s%s", name, suffix);
	b->held[b->held_count++] = (struct proc_held){ .name = full, .fd = fd };
}

static void boot_pass(struct boot *b, int fd, int child_fd)
{
	if (child_fd >= 0)
		b->fds[b->fd_count++] = (struct proc_fd){ .fd = fd, .child_fd = child_fd };
}

/* One end for the shim to hold (also the emulator's, where it inherits it), one for the hub. */
static int boot_make_end(struct boot *b, const char *name, const char *suffix, const int child_fds[2], int *hub_fd, struct err *err)
{
	int fd = -1;
	char file[PLAN_NAME_MAX + 8];
	snprintf(file, sizeof(file), "%s%s", name, suffix);
	if (fifo_make(b->run_dir, file, instance_as(b->inst), err) < 0 || fifo_open(b->run_dir, file, &fd, err) < 0)
		return err_prefix(err, "run directory \"%s\"", b->run_path);
	boot_hold(b, name, suffix, fd);
	b->owned[b->owned_count++] = fd;
	for (int i = 0; i < 2; i++) {
		if (child_fds[i] < 0)
			continue;
		/* A description of its own: the emulator must not see our O_NONBLOCK. */
		char self[32];
		snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		int own = open(self, O_RDWR | O_CLOEXEC);
		if (own < 0)
			return err_sys(err, errno, "open FIFO \"%s\" again", file);
		b->owned[b->owned_count++] = own;
		boot_pass(b, own, child_fds[i]);
	}
	return fifo_open(b->run_dir, file, hub_fd, err);
}

static void boot_hold_endpoint(struct boot *b, const char *name, const struct endpoint_fds *fds)
{
	const struct {
		const char *suffix;
		int fd;
	} rows[] = { { ENDPOINT_LISTENER, fds->listener },
		     { ENDPOINT_MASTER, fds->master },
		     { ENDPOINT_SLAVE, fds->slave },
		     { ENDPOINT_CURSOR, fds->cursor } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].fd >= 0)
			boot_hold(b, name, rows[i].suffix, rows[i].fd);
}

/* A port or PTY is made once and then handed from boot to boot. */
static int boot_make_endpoint(struct boot *b, const char *name, bool is_socket, struct err *err)
{
	const struct instance *inst = b->inst;
	const struct instance_channel *before = channels_find(inst, name);
	if (before != NULL && endpoints_has_fds(before)) {
		boot_hold_endpoint(b, name, &before->endpoint_fds);
		return 0;
	}
	struct boot_endpoint *row = &b->endpoints[b->endpoint_count++];
	row->fds = (struct endpoint_fds)ENDPOINT_FDS_NONE;
	snprintf(row->name, sizeof(row->name), "%s", name);
	if (endpoints_want(inst, name, &row->kind, &row->port, err) < 0 ||
	    endpoints_make(inst, name, is_socket, row->kind, row->port, &row->fds, &row->port, row->path, err) < 0)
		return -1;
	boot_hold_endpoint(b, name, &row->fds);
	return 0;
}

/* The channels have them from now on. */
static void boot_hand_over_endpoints(struct boot *b)
{
	for (size_t i = 0; i < b->endpoint_count; i++) {
		struct boot_endpoint *row = &b->endpoints[i];
		struct instance_channel *channel = channels_find(b->inst, row->name);
		channel->endpoint_kind = row->kind;
		channel->endpoint_fds = row->fds;
		row->fds = (struct endpoint_fds)ENDPOINT_FDS_NONE;
		channel->port = row->port;
		snprintf(channel->pty_path, sizeof(channel->pty_path), "%s", row->path);
	}
}

static int boot_make_channel(struct boot *b, const struct plan_channel *row, struct fifo_ends *ends, struct err *err)
{
	if (boot_make_end(b, row->name, ".out", (const int[2]){ row->out_child_fd, row->out_child_fd2 }, &ends->out, err) < 0)
		return -1;
	return row->has_input ? boot_make_end(b, row->name, ".in", (const int[2]){ row->in_child_fd, -1 }, &ends->in, err) : 0;
}

static int boot_make_socket(struct boot *b, const struct plan_socket *row, struct err *err)
{
	if (row->child_fd < 0)
		return 0;
	char *path = xasprintf("%s/%s.sock", b->run_path, row->name);
	int fd = -1, rc;
	if (unlink(path) < 0 && errno != ENOENT)
		rc = err_sys(err, errno, "remove old socket \"%s\"", path);
	else
		rc = addr_listen_unix(path, 0600, &fd, err);
	free(path);
	if (rc < 0)
		return -1;
	b->owned[b->owned_count++] = fd;
	boot_pass(b, fd, row->child_fd);
	return 0;
}

/* One end is the emulator's stdin and stdout. */
static int boot_make_console(struct boot *b, struct err *err)
{
	int pair[2];
	if (!b->plan.has_console)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(err, errno, "make a pair of sockets for the emulator's console");
	b->owned[b->owned_count++] = pair[0];
	b->owned[b->owned_count++] = pair[1];
	boot_hold(b, DRIVER_CONSOLE, "", pair[0]);
	boot_pass(b, pair[1], 0);
	boot_pass(b, pair[1], 1);
	return fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0 ? err_sys(err, errno, "set up the emulator's console") : 0;
}

static int boot_make_dirs(struct boot *b, struct err *err)
{
	const struct user *as = instance_as(b->inst);
	for (size_t i = 0; i < b->plan.dirs.count; i++) {
		const char *name = b->plan.dirs.items[i];
		int rc = 0;
		if (as != NULL)
			rc = dirs_make_shared(b->run_dir, name, as->uid, err);
		else if (mkdirat(b->run_dir, name, 0700) < 0 && errno != EEXIST)
			rc = err_sys(err, errno, "make directory \"%s\"", name);
		if (rc < 0)
			return err_prefix(err, "run directory \"%s\"", b->run_path);
	}
	return 0;
}

static int boot_make_files(struct boot *b, struct err *err)
{
	if (boot_make_dirs(b, err) < 0 || boot_make_console(b, err) < 0)
		return -1;
	for (size_t i = 0; i < b->plan.channel_count; i++)
		if (boot_make_channel(b, &b->plan.channels[i], &b->ends[i], err) < 0 ||
		    boot_make_endpoint(b, b->plan.channels[i].name, false, err) < 0)
			return -1;
	for (size_t i = 0; i < b->plan.socket_count; i++)
		if (boot_make_socket(b, &b->plan.sockets[i], err) < 0 ||
		    (plan_socket_is_channel(&b->plan.sockets[i]) && boot_make_endpoint(b, b->plan.sockets[i].name, true, err) < 0))
			return -1;
	return 0;
}

static void boot_mark(struct instance *inst)
{
	uint64_t nonce = 0;
	if (getrandom(&nonce, sizeof(nonce), GRND_NONBLOCK) != sizeof(nonce))
		nonce = clock_wall_ns();
	free(inst->mark);
	inst->mark = xasprintf("%s:%u:%016llx", inst->id, inst->boot, (unsigned long long)nonce);
}

bool boot_is_clients_own(const char *variable)
{
	static const char *const names[] = { "PWEMU_INSTANCE=", "PWEMU_HOST=", "PWEMU_CONTEXT=" };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* What the process of a user has who sends nothing, or is elsewhere: of many users, nothing of root's environment. */
static void boot_plain_environment(const struct instance *inst, struct strv *env)
{
	if (instance_as(inst) != NULL) {
		strv_add(env, "PATH=/usr/local/bin:/usr/bin:/bin");
		strv_addf(env, "USER=%s", inst->user.name);
		strv_addf(env, "LOGNAME=%s", inst->user.name);
		return;
	}
	for (char **var = environ; *var != NULL; var++)
		strv_add(env, *var);
}

void boot_environment(const struct instance *inst, const char *mark, struct strv *env)
{
	const Pwemu__V1__Environment *given = inst->request->environment;
	strv_init(env);
	bool is_remote = instance_is_remote(inst);
	if (is_remote || given == NULL || given->n_variables == 0)
		boot_plain_environment(inst, env);
	for (size_t i = 0; given != NULL && i < given->n_variables; i++) {
		if (boot_is_clients_own(given->variables[i]))
			continue;
		(is_remote ? strv_set_env : strv_add)(env, given->variables[i]);
	}
	strv_addf(env, "PWEMU_INSTANCE=%s", mark);
}

const char *boot_cwd(const struct instance *inst)
{
	const Pwemu__V1__Environment *environment = inst->request->environment;
	bool is_given = environment != NULL && environment->cwd[0] == '/' && !instance_is_remote(inst);
	return is_given ? environment->cwd : inst->home;
}

mode_t boot_umask(const struct instance *inst)
{
	const Pwemu__V1__Environment *environment = inst->request->environment;
	return environment != NULL ? environment->umask & 0777 : 077;
}

/* What the endpoints are that this boot has, made for it or handed on to it. */
static void boot_scope_endpoint(struct boot *b, const char *name)
{
	const struct instance_channel *before = channels_find(b->inst, name);
	struct expand_channel *row = &b->scope_rows[b->scope.channel_count++];
	*row = (struct expand_channel){ .name = name };
	if (before != NULL && endpoints_has_fds(before))
		*row = (struct expand_channel){ name, before->endpoint_kind, before->port, before->pty_path };
	for (size_t i = 0; i < b->endpoint_count; i++)
		if (strcmp(b->endpoints[i].name, name) == 0)
			*row = (struct expand_channel){ name, b->endpoints[i].kind, b->endpoints[i].port, b->endpoints[i].path };
}

static void boot_fill_scope(struct boot *b)
{
	b->scope = (struct expand_scope){ b->inst->target->name, b->inst->home, b->scope_rows, 0 };
	for (size_t i = 0; i < b->plan.channel_count; i++)
		boot_scope_endpoint(b, b->plan.channels[i].name);
	for (size_t i = 0; i < b->plan.socket_count; i++)
		if (plan_socket_is_channel(&b->plan.sockets[i]))
			boot_scope_endpoint(b, b->plan.sockets[i].name);
}

static int boot_open_run_dir(struct boot *b, bool make, struct err *err)
{
	if (make && dirs_make(b->run_path, err) < 0)
		return -1;
	if (dirs_open(b->run_path, &b->run_dir, err) < 0)
		return -1;
	/* its owner's emulator finds its FIFOs in there by name */
	if (make && instance_as(b->inst) != NULL && fchmod(b->run_dir, 0711) < 0)
		return err_sys(err, errno, "open \"%s\" to its owner", b->run_path);
	return 0;
}

int boot_lay_out(struct instance *inst, struct err *err)
{
	struct boot *b = xmalloc(sizeof(*b));
	boot_init(b, inst);
	inst->layout = b;
	if (boot_open_run_dir(b, true, err) < 0 || boot_make_plan(b, NULL, err) < 0 || endpoints_check(inst, &b->plan, err) < 0 ||
	    boot_make_files(b, err) < 0)
		return -1;
	boot_fill_scope(b);
	return 0;
}

void boot_discard_layout(struct instance *inst)
{
	if (inst->layout == NULL)
		return;
	boot_fini(inst->layout);
	free(inst->layout);
	inst->layout = NULL;
}

/* The emulator is on its way already (its shim had the disk for itself until then); a log that cannot be written ends it again. */
static int boot_open_logs(struct boot *b, struct err *err)
{
	struct instance *inst = b->inst;
	for (size_t i = 0; i < b->plan.channel_count; i++) {
		struct instance_channel *channel = channels_find(inst, b->plan.channels[i].name);
		struct fifo_ends *ends = &b->ends[i];
		if (channels_open(inst, channel, err) < 0 ||
		    hub_begin_boot(channel->hub, inst->boot, !inst->is_restart, ends->out, ends->in, err) < 0)
			return -1;
		*ends = (struct fifo_ends)FIFO_ENDS_NONE; /* they are the hub's now */
	}
	endpoints_serve_all(inst, false);
	return 0;
}

static bool boot_is_off_record(const struct instance *inst, struct err *err)
{
	*err = inst->is_restart ? (struct err)ERR_INIT : inst->start_error;
	return err_is_set(err);
}

static void boot_on_started(void *ctx, pid_t pid)
{
	struct instance *inst = ctx;
	struct err err = ERR_INIT;
	log_debug(&inst->scope, "emulator is process %d", (int)pid);
	if (inst->began_ns == 0) /* else it was adopted */
		inst->began_ns = clock_wall_ns();
	boot_release(&inst->old_proc); /* what it held is held by the new one */
	struct boot *b = inst->layout;
	if (b != NULL && (boot_is_off_record(inst, &err) || boot_connect(inst, b->run_dir, b->run_path, false, &err) < 0 ||
			  boot_open_logs(b, &err) < 0)) {
		inst->start_error = err;
		snprintf(inst->ending, sizeof(inst->ending), "%.190s", err.msg);
		instance_event(inst, INST_EV_USELESS, err.msg);
	}
	boot_discard_layout(inst);
	files_update(inst);
	instance_changed(inst);
}

static void boot_set_network(const struct boot *b, struct proc_spec *spec)
{
	struct instance *inst = b->inst;
	struct netshare *share = inst->env->netshare;
	bool is_allowed = share != NULL && netshare_is_allowed(share);
	spec->network = b->plan.network == PROC_NETWORK_TRY && is_allowed ? PROC_NETWORK_TRUST : b->plan.network;
	inst->shares_network = share != NULL && b->plan.shares_network;
	if (inst->shares_network)
		spec->join_count = netshare_take(share, inst->user.uid, spec->join_fds);
}

static void boot_leave_network(struct instance *inst)
{
	if (inst->shares_network)
		netshare_leave(inst->env->netshare, inst->user.uid);
	inst->shares_network = false;
}

static void boot_on_ended(void *ctx, const struct proc_end *end)
{
	struct instance *inst = ctx;
	inst->proc_end = *end;
	bool has_failed = strcmp(end->exec_what, SHIM_NETWORK_WHAT) == 0 || (inst->shares_network && end->exec_errno != 0);
	if (inst->env->netshare != NULL && has_failed)
		netshare_failed(inst->env->netshare, inst->user.uid); /* next time that is looked at */
	boot_leave_network(inst);
	boot_discard_layout(inst); /* it was never started */
	boot_release(&inst->old_proc);
	if (inst->link != NULL)
		inst->driver->drain(inst->link);
	instance_event(inst, INST_EV_EXITED, "the emulator has ended");
}

const struct proc_ops boot_proc_ops = { .on_started = boot_on_started, .on_ended = boot_on_ended };

static void boot_emulator_environment(const struct boot *b, struct strv *env)
{
	const struct strv *usual = &b->plan.usual_env;
	boot_environment(b->inst, b->inst->mark, env);
	for (size_t i = 0; i < usual->count; i++)
		strv_add_env(env, usual->items[i]);
	for (size_t i = 0; i < b->plan.env.count; i++)
		strv_set_env(env, b->plan.env.items[i]);
}

uint64_t boot_oom_kills(const struct instance *inst)
{
	const struct settings *settings = inst->env->settings;
	bool has_group = settings != NULL && settings->cgroup[0] != '\0';
	return has_group ? cgroups_oom_kills(settings->cgroup, inst->user.uid, inst->id) : 0;
}

void boot_leave_group(const struct instance *inst)
{
	const struct settings *settings = inst->env->settings;
	if (settings != NULL && settings->cgroup[0] != '\0')
		cgroups_end(inst->env->cgroups, settings->cgroup, inst->user.uid, inst->id);
}

int boot_spawn_in_group(const struct instance *inst, struct proc_spec *spec, const struct proc_ops *ops, void *ctx, struct proc **out,
			struct err *err)
{
	const struct settings *settings = inst->env->settings;
	struct cgroup_spec group = { .uid = inst->user.uid, .id = inst->id };
	if (settings != NULL && settings->cgroup[0] != '\0') {
		group.base = settings->cgroup;
		group.user_memory_bytes = settings->user_memory_bytes;
		group.user_cpu_percent = settings->user_cpu_percent;
		group.memory_bytes = settings->emulator_memory_bytes;
		spec->memory_bytes = 0;
		if (cgroups_begin(inst->env->cgroups, &group, &spec->cgroup_fd, err) < 0)
			return -1;
		spec->has_cgroup = true;
	}
	int rc = proc_spawn(inst->env->base, inst->env->shim, spec, ops, ctx, out, err);
	if (spec->has_cgroup)
		close(spec->cgroup_fd);
	return rc;
}

static int boot_spawn(struct boot *b, struct err *err)
{
	struct instance *inst = b->inst;
	struct strv env;
	boot_emulator_environment(b, &env);
	const struct settings *settings = inst->env->settings;
	struct proc_spec spec = {
		.run_dir = b->run_dir,
		.name = inst->proc_name,
		.program = inst->program,
		.argv = (const char *const *)b->plan.argv.items,
		.envp = (const char *const *)env.items,
		.cwd = boot_cwd(inst),
		.umask = boot_umask(inst),
		.user = instance_as(inst),
		.fds = b->fds,
		.fd_count = b->fd_count,
		.held = b->held,
		.held_count = b->held_count,
		.nofile = b->plan.nofile,
		.memory_bytes = settings != NULL ? settings->emulator_memory_bytes : 0,
		.cpu_s = settings != NULL ? (uint32_t)((settings->emulator_cpu_ms + 999) / 1000) : 0,
		.is_confined = b->plan.is_confined,
	};
	boot_set_network(b, &spec);
	inst->oom_kills = boot_oom_kills(inst);
	int rc = boot_spawn_in_group(inst, &spec, &boot_proc_ops, inst, &inst->proc, err);
	if (rc < 0)
		boot_leave_network(inst);
	strv_fini(&env);
	return rc;
}

int boot_plan_commands(struct instance *inst, struct err *err)
{
	return boot_check_arguments(inst->layout, err) < 0 ? -1 : commands_plan(inst, &inst->layout->scope, err);
}

static void boot_set_channels(struct boot *b)
{
	channels_set(b->inst, &b->plan);
	for (size_t i = 0; i < b->inst->channel_count; i++) {
		struct instance_channel *channel = b->inst->channels[i];
		channel->had_party = channel->endpoint != NULL && endpoint_party_count(channel->endpoint) > 0;
	}
	boot_hand_over_endpoints(b);
}

/* Whether the record on disk is enough for the next daemon, should this one die before the new one is written, which then is done while
 * the shim begins. It has the boot before: of a restart that boot's shim is there, of an instance that was over nothing is. What is there
 * and not known is ended. */
static bool boot_is_known(const struct instance *inst)
{
	return inst->is_restart || (inst->command_count == 0 && inst->record_hash != 0);
}

/* A start that cannot be put on record is given up as soon as its process is there; a restart goes on from the record it has. */
static void boot_put_on_record(struct instance *inst)
{
	struct err err = ERR_INIT;
	if (inst->is_restart)
		store_save(inst);
	else if (store_put(inst, &err) < 0)
		inst->start_error = err;
}

/* Who relies on the sandbox is to know. */
static void boot_tell_sandbox(struct instance *inst)
{
	if (inst->is_restart || inst->prepared == NULL || !inst->prepared->has_no_sandbox || !driver_is_sandboxed(inst->target))
		return;
	static const char text[] = "this QEMU was built without seccomp: it runs without its sandbox, and may start processes";
	log_warn(&inst->scope, "\"%s\": %s", inst->program, text);
	instance_tell(inst, PWEMU__V1__EVENT_KIND__EVENT_KIND_WARNING, NULL, NULL, text);
}

/* A new name for each boot: the shim of the one before keeps its own until this one has what it holds. */
int boot_begin(struct instance *inst, struct err *err)
{
	if (inst->is_restart && boot_lay_out(inst, err) < 0)
		return -1;
	struct boot *b = inst->layout;
	if (boot_choose_argv(b, err) < 0)
		return -1;
	boot_set_channels(b);
	boot_mark(inst);
	char *old_name = inst->proc_name;
	inst->proc_name = xasprintf("boot-%u", inst->boot);
	inst->old_proc = inst->proc;
	inst->proc = NULL;
	bool is_known = boot_is_known(inst);
	if ((is_known || store_put(inst, err) == 0) && boot_spawn(b, err) == 0) {
		if (is_known)
			boot_put_on_record(inst);
		boot_tell_sandbox(inst);
		free(old_name);
		return 0;
	}
	free(inst->proc_name);
	inst->proc_name = old_name;
	inst->proc = inst->old_proc;
	inst->old_proc = NULL;
	return -1;
}

/* ---------------------------------------------------------------- end */

void boot_release(struct proc **proc)
{
	if (*proc == NULL)
		return;
	proc_release(*proc);
	proc_free(*proc);
	*proc = NULL;
}

void boot_remove_files(struct instance *inst)
{
	char *path = instance_run_path(inst);
	struct err err = ERR_INIT;
	boot_discard_layout(inst);
	if (dirs_remove(path, &err) < 0)
		log_warn(&inst->scope, "%s", err.msg);
	free(path);
}
