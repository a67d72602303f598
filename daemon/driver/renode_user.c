/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor channel: one user's lines share the console with the daemon's commands, each as a whole. The user has one end of a pair of
 * sockets; what comes out of the other is cut into lines, of which one at a time is asked. Control characters go no further than this, a
 * line that would leave the monitor waiting for more (an open quote) is refused, and `quit` is a stop. Of several machines a user may
 * select another one: it is selected for the user's lines alone, since the daemon's commands mean the instance's.
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/monitor_text.h"
#include "driver/renode_int.h"
#include "wire/mem.h"

#define USER_LINE_MAX   4096
#define USER_TIMEOUT_MS 600000 /* of a command: some run an emulation for a while */

struct renode_user {
	struct driver_link *link; /* NULL: the user has left */
	struct driver_link *owner;
	char prompt[MONITOR_PROMPT_MAX]; /* tells the machine that this user has selected */
	int fd;
	char line[USER_LINE_MAX];
	size_t len;
	bool is_too_long;
	bool is_asking;
	char *out; /* what the socket did not take yet */
	size_t out_len, out_sent;
	struct event readable, writable;
};

/* ---------------------------------------------------------------- output */

static void user_flush(struct renode_user *user)
{
	while (user->out_sent < user->out_len) {
		ssize_t n = send(user->fd, user->out + user->out_sent, user->out_len - user->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n <= 0)
			break;
		user->out_sent += (size_t)n;
	}
	/* One who is gone takes no more, and would be writable for ever. */
	if (user->out_sent < user->out_len && (errno == EAGAIN || errno == EINTR)) {
		event_add(&user->writable, NULL);
		return;
	}
	free(user->out);
	user->out = NULL;
	user->out_len = user->out_sent = 0;
}

static void user_read(struct renode_user *user);

/* Who takes no answers asks nothing more meanwhile: they are not heaped up. */
static void user_on_writable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	struct renode_user *user = ctx;
	user_flush(user);
	if (user->out == NULL)
		user_read(user);
}

/* Lines end with CR LF, as a terminal wants them. */
static void user_print(struct renode_user *user, const char *text)
{
	size_t lines = 0, len = strlen(text);
	for (const char *at = text; *at != '\0'; at++)
		lines += *at == '\n';
	user->out = xrealloc(user->out, user->out_len + len + lines + 1, 1);
	for (const char *at = text; *at != '\0'; at++) {
		if (*at == '\n')
			user->out[user->out_len++] = '\r';
		user->out[user->out_len++] = *at;
	}
}

static void user_prompt(struct renode_user *user)
{
	user_print(user, user->prompt);
	user_flush(user);
}

static void user_answer(struct renode_user *user, const char *text)
{
	user_print(user, text);
	if (text[0] != '\0')
		user_print(user, "\n");
	user_prompt(user);
}

/* ---------------------------------------------------------------- lines */

static void user_on_answer(void *ctx, const char *text, const struct err *err)
{
	struct renode_user *user = ctx;
	user->is_asking = false;
	user->owner->users_commands--;
	if (user->link == NULL) {
		free(user);
		return;
	}
	if (err == NULL || err->code != ERR_DEADLINE_EXCEEDED)
		snprintf(user->prompt, sizeof(user->prompt), "%s", monitor_prompt(user->link->monitor));
	user_answer(user, text[0] == '\0' && err != NULL ? err->msg : text);
	renode_look(user->link); /* it may have started or paused the emulation */
	user_read(user);
}

static bool user_is_open(const char *line)
{
	size_t quotes = 0;
	for (; *line != '\0'; line++)
		quotes += *line == '"';
	return quotes % 2 != 0 || strstr(line, "\"\"\"") != NULL;
}

/* One of the commands on the line, given a name alone, asks for the rest of it. */
static bool user_asks_for_more(const char *line)
{
	static const char *const commands[] = { "macro", "set", "alias" };
	while (*line != '\0') {
		line += strspn(line, " ;");
		size_t word = strcspn(line, " ;"), gap = strspn(line + word, " "), name = strcspn(line + word + gap, " ;\"");
		const char *rest = line + word + gap + name;
		rest += strspn(rest, " ");
		for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
			if (word == strlen(commands[i]) && strncmp(line, commands[i], word) == 0 && name > 0 &&
			    (*rest == '\0' || *rest == ';'))
				return true;
		for (bool is_quoted = false; *line != '\0' && (is_quoted || *line != ';'); line++)
			is_quoted ^= *line == '"';
	}
	return false;
}

static bool user_means_quit(const char *line)
{
	size_t len = strcspn(line, " ;");
	return (len == 4 && strncmp(line, "quit", 4) == 0) || (len == 1 && *line == 'q');
}

static void user_home(const struct driver_link *link, char *prompt, size_t size)
{
	snprintf(prompt, size, "(%s) ", renode_machine_name(link->target));
}

void renode_select(struct driver_link *link, const char *prompt)
{
	char home[MONITOR_PROMPT_MAX];
	user_home(link, home, sizeof(home));
	prompt = prompt != NULL ? prompt : home;
	bool is_none = strcmp(prompt, "(monitor) ") == 0;
	char *command = is_none ? xstrdup("mach clear") : xasprintf("mach set \"%.*s\"", (int)strlen(prompt) - 3, prompt + 1);
	monitor_ask(link->monitor, command, RENODE_COMMAND_TIMEOUT_MS, NULL, NULL);
	free(command);
}

/* All of it is queued at once: nothing of the daemon's comes between. */
static void user_ask(struct renode_user *user, const char *line)
{
	struct driver_link *link = user->link;
	char home[MONITOR_PROMPT_MAX];
	user_home(link, home, sizeof(home));
	user->is_asking = true;
	link->users_commands++;
	if (strcmp(user->prompt, home) != 0)
		renode_select(link, user->prompt);
	monitor_ask(link->monitor, line, USER_TIMEOUT_MS, user_on_answer, user);
	renode_select(link, NULL);
}

static void user_do(struct renode_user *user, const char *line, bool is_too_long)
{
	line += strspn(line, " ");
	if (is_too_long) {
		user_answer(user, "pwemu: this line is too long");
	} else if (*line == '\0') {
		user_prompt(user);
	} else if (user_is_open(line) || user_asks_for_more(line)) {
		user_answer(user,
			    "pwemu: a command must be on one line, with its quotes closed; put longer ones into a file: include @FILE");
	} else if (user_means_quit(line)) {
		user_print(user, "pwemu: the instance is stopped\n");
		user_flush(user);
		renode_quit_for(user->link, RENODE_USER_QUIT);
	} else {
		user_ask(user, line);
	}
}

static void user_end_line(struct renode_user *user)
{
	char line[USER_LINE_MAX];
	bool is_too_long = user->is_too_long;
	memcpy(line, user->line, user->len);
	line[user->len] = '\0';
	user->len = 0;
	user->is_too_long = false;
	user_do(user, line, is_too_long);
}

/* CR, LF and CR LF end a line; an empty one is a prompt more. */
static void user_take(struct renode_user *user, char c)
{
	if (c == '\n' || c == '\r') {
		user_end_line(user);
	} else if ((c == 0x7f || c == '\b') && user->len > 0) {
		user->len--;
	} else if (c == '\t' || (unsigned char)c >= ' ') {
		if (c != 0x7f && user->len < sizeof(user->line) - 1)
			user->line[user->len++] = c == '\t' ? ' ' : c;
		else if (c != 0x7f)
			user->is_too_long = true;
	}
}

/* Byte by byte, up to the end of a line: what comes after it waits in the socket until that is answered. */
static void user_read(struct renode_user *user)
{
	char c;
	ssize_t n = 0;
	while (!user->is_asking && user->link != NULL && user->out == NULL && (n = recv(user->fd, &c, 1, MSG_DONTWAIT)) == 1)
		user_take(user, c);
	if (!user->is_asking && user->link != NULL && user->out == NULL && (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))))
		event_add(&user->readable, NULL);
}

static void user_on_readable(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd, (void)what;
	user_read(ctx);
}

/* ---------------------------------------------------------------- coming and going */

static int user_pair(int fds[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0)
		return 0;
	return err_sys(err, errno, "make a pair of sockets for the monitor");
}

void renode_user_open(struct driver_link *link, driver_open_fn done, void *ctx)
{
	struct err err = ERR_INIT;
	int fds[2];
	renode_user_close(link);
	if (user_pair(fds, &err) < 0) {
		done(ctx, -1, &err);
		return;
	}
	struct renode_user *user = xcalloc(1, sizeof(*user));
	user->link = user->owner = link;
	user_home(link, user->prompt, sizeof(user->prompt));
	user->fd = fds[0];
	event_assign(&user->readable, link->base, user->fd, EV_READ, user_on_readable, user);
	event_assign(&user->writable, link->base, user->fd, EV_WRITE, user_on_writable, user);
	link->user = user;
	user_prompt(user);
	event_add(&user->readable, NULL);
	done(ctx, fds[1], NULL);
}

void renode_user_close(struct driver_link *link)
{
	struct renode_user *user = link->user;
	link->user = NULL;
	if (user == NULL)
		return;
	event_del(&user->readable);
	event_del(&user->writable);
	close(user->fd);
	free(user->out);
	user->out = NULL;
	user->out_len = user->out_sent = 0;
	user->link = NULL;
	if (!user->is_asking)
		free(user);
}
