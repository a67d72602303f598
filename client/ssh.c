/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssh stays in our process group: it may have to ask for a password, which only the foreground of a terminal may. So that Ctrl+C, which
 * ends a run in good order, does not cut the connection meanwhile, ssh is begun with SIGINT and SIGQUIT ignored, and leaves them so.
 */
#include "client/ssh.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/gdb.h"
#include "client/say.h"
#include "client/words.h"
#include "wire/mem.h"

#define SSH_SCHEME    "ssh://"
#define SSH_END_MS    2000 /* from the end of the connection to that of ssh */
#define SSH_FAILED    255  /* exit code of ssh's own */
#define SSH_NOT_FOUND 127  /* of the shell on the other side */

struct ssh_url {
	char *target; /* user@host */
	char *port, *program;
};

static pid_t ssh_pid = -1; /* the latest one, until it was reaped */

/* ---------------------------------------------------------------- the address */

static void url_fini(struct ssh_url *url)
{
	free(url->target);
	free(url->port);
	free(url->program);
	*url = (struct ssh_url){ NULL, NULL, NULL };
}

static bool url_is_plain(const char *text, const char *also)
{
	if (text[0] == '\0' || text[0] == '-')
		return false;
	for (; *text != '\0'; text++)
		if (!isalnum((unsigned char)*text) && strchr(also, *text) == NULL)
			return false;
	return true;
}

/* "host", "host:22", "[::1]:22" */
static void url_split_port(struct ssh_url *url, char *host)
{
	char *colon = strrchr(host, ':'), *bracket = strrchr(host, ']');
	if (colon != NULL && (bracket == NULL || colon > bracket)) {
		*colon = '\0';
		url->port = xstrdup(colon + 1);
	}
	if (host[0] == '[' && bracket != NULL) {
		*bracket = '\0';
		memmove(host, host + 1, strlen(host));
	}
}

static int url_parse(const char *text, struct ssh_url *out, struct err *err)
{
	*out = (struct ssh_url){ NULL, NULL, NULL };
	size_t len = strcspn(text + strlen(SSH_SCHEME), "?");
	const char *query = text + strlen(SSH_SCHEME) + len;
	char *authority = xasprintf("%.*s", (int)len, text + strlen(SSH_SCHEME));
	if (len > 0 && authority[len - 1] == '/')
		authority[len - 1] = '\0';
	char *at = strrchr(authority, '@'), *host = at != NULL ? at + 1 : authority;
	if (at != NULL)
		*at = '\0';
	url_split_port(out, host);
	bool is_good = url_is_plain(host, ".-_:%") && (at == NULL || url_is_plain(authority, ".-_+\\@"));
	is_good = is_good && (out->port == NULL || (out->port[0] != '\0' && strspn(out->port, "0123456789") == strlen(out->port)));
	out->target = at != NULL ? xasprintf("%s@%s", authority, host) : xstrdup(host);
	free(authority);
	if (query[0] != '\0' && strncmp(query, "?pwemu=", 7) == 0 && query[7] != '\0')
		out->program = xstrdup(query + 7);
	else if (query[0] != '\0')
		is_good = false;
	if (is_good)
		return 0;
	url_fini(out);
	return err_set(err, ERR_INVALID_ARGUMENT, "host '%.200s': write ssh://[user@]host[:port][?pwemu=/path/of/pwemu]", text);
}

int ssh_check(const char *text, struct err *err)
{
	struct ssh_url url;
	if (url_parse(text, &url, err) < 0)
		return -1;
	url_fini(&url);
	return 0;
}

/* ---------------------------------------------------------------- ssh */

/* For the shell on the other side; a ~ is its to replace. */
static char *remote_command(const struct ssh_url *url)
{
	const char *program = url->program != NULL ? url->program : "pwemu";
	char *quoted = url_is_plain(program, "/.-_+~") ? xstrdup(program) : gdb_quote(program);
	char *command = xasprintf("%s proxy", quoted);
	free(quoted);
	return command;
}

static int make_command(const struct ssh_url *url, struct words *argv, struct err *err)
{
	const char *ssh = getenv("PWEMU_SSH");
	if (words_split(argv, ssh != NULL && ssh[0] != '\0' ? ssh : "ssh", err) < 0)
		return err_prefix(err, "PWEMU_SSH");
	if (argv->count == 0)
		return err_set(err, ERR_INVALID_ARGUMENT, "PWEMU_SSH names no command");
	words_add(argv, "-T");
	if (url->port != NULL) {
		words_add(argv, "-p");
		words_add(argv, url->port);
	}
	words_add(argv, url->target);
	words_take(argv, remote_command(url));
	return 0;
}

static void child_run(char *const *argv, int fd, int trouble)
{
	struct sigaction standard = { .sa_handler = SIG_DFL }, ignore = { .sa_handler = SIG_IGN };
	sigset_t none;
	sigemptyset(&none);
	sigaction(SIGPIPE, &standard, NULL);
	sigaction(SIGINT, &ignore, NULL);
	sigaction(SIGQUIT, &ignore, NULL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(fd, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0)
		execvp(argv[0], argv);
	int sys = errno;
	(void)!write(trouble, &sys, sizeof(sys));
	_exit(SSH_NOT_FOUND);
}

/* Waits for the exec, so that a program that is not there is told as such. */
static int start_ssh(char *const *argv, int fd, struct err *err)
{
	int trouble[2], sys = 0;
	if (pipe2(trouble, O_CLOEXEC) < 0)
		return err_sys(err, errno, "make a pipe");
	ssh_pid = fork();
	if (ssh_pid == 0)
		child_run(argv, fd, trouble[1]);
	if (ssh_pid < 0)
		sys = errno;
	close(trouble[1]);
	if (ssh_pid > 0 && read(trouble[0], &sys, sizeof(sys)) <= 0)
		sys = 0;
	close(trouble[0]);
	if (sys == 0)
		return 0;
	err_sys(err, sys, "execute \"%s\"", argv[0]);
	return -1;
}

/* An earlier one has lost its connection and ends by itself. */
static void forget_last(void)
{
	if (ssh_pid > 0)
		(void)waitpid(ssh_pid, NULL, WNOHANG);
	ssh_pid = -1;
}

int ssh_connect(const char *text, int *fd, struct err *err)
{
	struct ssh_url url;
	struct words argv = WORDS_INIT;
	int pair[2] = { -1, -1 };
	forget_last();
	if (url_parse(text, &url, err) < 0)
		return -1;
	int rc = make_command(&url, &argv, err);
	if (rc == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		rc = err_sys(err, errno, "make a pair of sockets");
	if (rc == 0) {
		words_take(&argv, NULL);
		say_detail("starting %s for %s", argv.list[0], text);
		rc = start_ssh(argv.list, pair[1], err);
		close(pair[1]);
	}
	if (rc == 0 && fcntl(pair[0], F_SETFL, O_NONBLOCK) == 0)
		*fd = pair[0];
	else if (pair[0] >= 0)
		close(pair[0]);
	words_fini(&argv);
	url_fini(&url);
	return rc;
}

/* ---------------------------------------------------------------- its end */

/* Its wait status; -1: it does not end. */
static int await_end(void)
{
	int status;
	for (int ms = 0; ssh_pid > 0 && ms < SSH_END_MS; ms += 10) {
		if (waitpid(ssh_pid, &status, WNOHANG) == ssh_pid) {
			ssh_pid = -1;
			return status;
		}
		poll(NULL, 0, 10);
	}
	return -1;
}

bool ssh_explain(const char *url, struct err *err)
{
	int status = await_end(), code = status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	if (code == SSH_FAILED)
		err_set(err, ERR_UNAVAILABLE, "%s: ssh has ended, see above", url);
	else if (code == SSH_NOT_FOUND)
		err_set(err, ERR_UNAVAILABLE, "%s: there is no pwemu in the PATH on that machine; name it: %s?pwemu=/path/of/pwemu", url,
			url);
	else if (code > 0)
		err_set(err, ERR_UNAVAILABLE, "%s: `pwemu proxy` on that machine ended with %d, see above", url, code);
	else
		err_set(err, ERR_UNAVAILABLE, "%s: the connection ended before the daemon answered", url);
	err_reason(err, "no-daemon");
	return code == 0;
}
