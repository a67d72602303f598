/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon itself. None of these but `restart` and `reload` starts one. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/clock.h"
#include "client/commands.h"
#include "client/tojson.h"
#include "client/out.h"
#include "client/say.h"
#include "client/tail.h"
#include "pwemu/v1/daemon.pb-c.h"

#define LEAVE_MS            10000
#define RETURN_MS           15000
#define RETURN_ROUND_MS     10
#define RETURN_BY_OTHERS_MS 2000

/* A number of another machine means somebody else here. */
static int open_process(const struct cli *cli, const Pwemu__V1__InfoReply *info)
{
	return cli->conn.is_elsewhere ? -1 : pidfd_open(info->pid, 0);
}

static int get_info(struct cli *cli, Pwemu__V1__InfoReply **info, struct err *err)
{
	Pwemu__V1__InfoRequest request = PWEMU__V1__INFO_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	if (call_unary(&cli->conn, CALL_DAEMON_INFO, &request.base, 0, &reply, err) < 0)
		return -1;
	*info = (Pwemu__V1__InfoReply *)reply;
	conn_note_version(&cli->conn, (*info)->version);
	return 0;
}

static void print_info(const Pwemu__V1__InfoReply *info)
{
	char since[32];
	out_field("pid:", OUT_PLAIN, "%d", info->pid);
	out_field("version:", OUT_PLAIN, "%s", info->version);
	out_field("socket:", OUT_PLAIN, "%s", info->socket);
	for (size_t i = 0; i < info->n_listen; i++)
		out_field(i == 0 ? "network:" : "", OUT_PLAIN, "%s", info->listen[i]);
	if (info->ca_pin[0] != '\0')
		out_field("CA pin:", OUT_PLAIN, "%s", info->ca_pin);
	out_field("state:", OUT_PLAIN, "%s", info->state_dir);
	out_field("targets:", OUT_PLAIN, "%s", info->targets_dir);
	if (info->settings[0] != '\0')
		out_field("settings:", OUT_PLAIN, "%s", info->settings);
	out_field("log:", OUT_PLAIN, "%s", info->log[0] != '\0' ? info->log : "stderr");
	out_field("instances:", OUT_PLAIN, "%u, %u running", info->instances, info->running);
	out_field("since:", OUT_PLAIN, "%s%s", out_time(info->started_ns, since, sizeof(since)),
		  info->auto_started ? ", started by a client; ends when idle" : "");
}

int cmd_daemon_info(struct cli *cli)
{
	Pwemu__V1__InfoReply *info = NULL;
	struct err err = ERR_INIT;
	if (cli_connect(cli, CONN_EXISTING) < 0)
		return EXIT_REFUSED;
	if (get_info(cli, &info, &err) < 0)
		return cli_refused(&err);
	if (opt_is(&cli->opts, "output", "json"))
		tojson_message(stdout, &info->base);
	else
		print_info(info);
	pwemu__v1__info_reply__free_unpacked(info, NULL);
	return EXIT_DONE;
}

/* By pidfd: it ends also where nobody reaps. Without one (another pid namespace) the closed connection has to do. */
static int wait_until_gone(struct cli *cli, int pidfd, pid_t pid)
{
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	conn_close(&cli->conn);
	int n = pidfd < 0 ? 1 : poll(&poll_fd, 1, LEAVE_MS);
	if (pidfd >= 0)
		close(pidfd);
	if (n != 0)
		return 0;
	say_error("the daemon (pid %d) has not ended within %d s", (int)pid, LEAVE_MS / 1000);
	return -1;
}

static int shut_down(struct cli *cli, bool with_instances, bool restart, uint32_t *left, struct err *err)
{
	Pwemu__V1__ShutdownRequest request = PWEMU__V1__SHUTDOWN_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	request.restart = restart;
	request.with_instances = with_instances;
	if (call_unary(&cli->conn, CALL_DAEMON_SHUTDOWN, &request.base, 0, &reply, err) < 0)
		return -1;
	*left = ((const Pwemu__V1__ShutdownReply *)reply)->left_running;
	protobuf_c_message_free_unpacked(reply, NULL);
	return 0;
}

static int stop_daemon(struct cli *cli, const Pwemu__V1__InfoReply *info, bool with_instances)
{
	uint32_t left = 0;
	struct err err = ERR_INIT;
	int pidfd = open_process(cli, info);
	if (shut_down(cli, with_instances, false, &left, &err) < 0)
		return cli_refused(&err);
	if (wait_until_gone(cli, pidfd, info->pid) < 0)
		return EXIT_REFUSED;
	if (left > 0)
		say_note("%u instance%s on; the next daemon takes %s over", left, left == 1 ? " runs" : "s run", left == 1 ? "it" : "them");
	return EXIT_DONE;
}

int cmd_daemon_stop(struct cli *cli)
{
	Pwemu__V1__InfoReply *info = NULL;
	struct err err = ERR_INIT;
	if (cli_connect(cli, CONN_EXISTING) < 0)
		return EXIT_REFUSED;
	if (get_info(cli, &info, &err) < 0)
		return cli_refused(&err);
	int code = stop_daemon(cli, info, opt_has(&cli->opts, "with-instances"));
	pwemu__v1__info_reply__free_unpacked(info, NULL);
	return code;
}

static bool is_next(struct cli *cli, const Pwemu__V1__InfoReply *old)
{
	Pwemu__V1__InfoReply *info = NULL;
	struct err err = ERR_INIT;
	if (conn_open(&cli->conn, CONN_EXISTING, &err) < 0 || get_info(cli, &info, &err) < 0)
		return false;
	bool is_new = info->started_ns != old->started_ns;
	pwemu__v1__info_reply__free_unpacked(info, NULL);
	return is_new;
}

/* The daemon's own doing: it keeps its process, and who started it sees nothing of it. When the process ends instead, something else
 * (systemd) may still bring it back. */
static int await_next(struct cli *cli, const Pwemu__V1__InfoReply *old, int pidfd, struct err *err)
{
	uint64_t deadline = clock_now_ms() + RETURN_MS;
	struct pollfd process = { .fd = pidfd, .events = POLLIN };
	while (!is_next(cli, old)) {
		uint64_t now = clock_now_ms();
		if (now >= deadline)
			return err_set(err, ERR_DEADLINE_EXCEEDED, "the daemon (pid %d) has %s; its log: %s", old->pid,
				       process.fd < 0 && pidfd >= 0 ? "ended and not come back" : "not begun again",
				       old->log[0] != '\0' ? old->log : "its stderr");
		conn_close(&cli->conn);
		if (poll(&process, 1, RETURN_ROUND_MS) > 0) {
			process.fd = -1;
			deadline = now + RETURN_BY_OTHERS_MS;
		}
	}
	return 0;
}

/* One that a client started: ours takes its place, also where ours is installed elsewhere. */
static int replace_daemon(struct cli *cli, const Pwemu__V1__InfoReply *info)
{
	uint32_t left = 0;
	struct err err = ERR_INIT;
	int pidfd = open_process(cli, info);
	if (shut_down(cli, false, false, &left, &err) < 0)
		return cli_refused(&err);
	if (wait_until_gone(cli, pidfd, info->pid) < 0)
		return EXIT_REFUSED;
	return conn_open(&cli->conn, CONN_START, &err) < 0 ? cli_refused(&err) : EXIT_DONE;
}

static int restart_daemon(struct cli *cli, const Pwemu__V1__InfoReply *info)
{
	uint32_t left = 0;
	struct err err = ERR_INIT;
	if (info->auto_started && cli->conn.is_private)
		return replace_daemon(cli, info);
	int pidfd = open_process(cli, info);
	int rc = shut_down(cli, false, true, &left, &err);
	conn_close(&cli->conn);
	if (rc == 0)
		rc = await_next(cli, info, pidfd, &err);
	if (pidfd >= 0)
		close(pidfd);
	return rc < 0 ? cli_refused(&err) : EXIT_DONE;
}

int cmd_daemon_restart(struct cli *cli)
{
	Pwemu__V1__InfoReply *info = NULL;
	struct err err = ERR_INIT;
	if (conn_init(&cli->conn, opt_text(&cli->opts, "host"), opt_text(&cli->opts, "context"), &err) < 0)
		return cli_refused(&err);
	if (conn_open(&cli->conn, CONN_EXISTING, &err) < 0) {
		if (strcmp(err.reason, "no-daemon") != 0)
			return cli_refused(&err);
		return conn_open(&cli->conn, CONN_START, &err) < 0 ? cli_refused(&err) : EXIT_DONE;
	}
	if (get_info(cli, &info, &err) < 0)
		return cli_refused(&err);
	int code = restart_daemon(cli, info);
	pwemu__v1__info_reply__free_unpacked(info, NULL);
	return code;
}

int cmd_daemon_reload(struct cli *cli)
{
	Pwemu__V1__ReloadRequest request = PWEMU__V1__RELOAD_REQUEST__INIT;
	ProtobufCMessage *message = NULL;
	struct err err = ERR_INIT;
	if (cli_connect(cli, CONN_START) < 0)
		return EXIT_REFUSED;
	if (call_unary(&cli->conn, CALL_DAEMON_RELOAD, &request.base, 0, &message, &err) < 0)
		return cli_refused(&err);
	const Pwemu__V1__ReloadReply *reply = (const Pwemu__V1__ReloadReply *)message;
	size_t errors = reply->n_errors;
	for (size_t i = 0; i < errors; i++)
		say_error("%s", reply->errors[i]);
	say_note("settings and %u targets read", reply->targets);
	protobuf_c_message_free_unpacked(message, NULL);
	return errors > 0 ? EXIT_REFUSED : EXIT_DONE;
}

/* Of a daemon that does not run any more the log is what one wants to see most. */
static char *log_path(struct cli *cli, struct err *err)
{
	Pwemu__V1__InfoReply *info = NULL;
	if (conn_init(&cli->conn, opt_text(&cli->opts, "host"), opt_text(&cli->opts, "context"), err) < 0)
		return NULL;
	if (conn_open(&cli->conn, CONN_EXISTING, err) < 0)
		return cli->conn.is_private ? tail_daemon_log(&cli->conn.paths) : NULL;
	if (get_info(cli, &info, err) < 0)
		return NULL;
	char *path = info->log[0] != '\0' ? strdup(info->log) : NULL;
	if (path != NULL && cli->conn.is_elsewhere) {
		err_set(err, ERR_FAILED_PRECONDITION, "the log is a file on the daemon's machine, %s; `pwemu daemon logs` there shows it",
			path);
		free(path);
		path = NULL;
	} else if (path == NULL)
		err_set(err, ERR_NOT_FOUND, "the daemon (pid %d) writes its log to its stderr", info->pid);
	pwemu__v1__info_reply__free_unpacked(info, NULL);
	return path;
}

int cmd_daemon_logs(struct cli *cli)
{
	struct err err = ERR_INIT;
	char *path = log_path(cli, &err);
	if (path == NULL)
		return cli_refused(&err);
	int result = tail_file(path, (size_t)opt_integer(&cli->opts, "lines", 0), &err);
	free(path);
	return result < 0 ? cli_refused(&err) : EXIT_DONE;
}
