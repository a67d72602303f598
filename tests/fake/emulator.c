/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for qemu-system-*, for what the real one does not do on demand. It understands of the command line what the daemon
 * writes (`-chardev pipe`, the inherited QMP socket, `-S`) and ignores the rest; speaks QMP as far as the daemon asks (qmp_capabilities,
 * query-status, stop, cont, system_reset, quit, with QEMU's events and order); ends with SHUTDOWN on SIGTERM, SIGINT and SIGHUP.
 * Its guest has one serial port, the first pipe; a full one freezes everything, SIGTERM included, as a pl011 does to QEMU. Idle it
 * uses no CPU.
 *
 * $FAKE_EMULATOR is "KEY=VALUE;…" of the following; times are from the start of the process, "500", "500ms" or "2s":
 *     greeting=right|wrong|none|slow:TIME  on QMP
 *     output=line       (default) "ready\n" once, when the guest first runs and after each reset
 *            none
 *            slow:TIME  "%08x\n" from 0 on (as seq.elf), one line each TIME
 *            burst:N    the first N bytes of that at once
 *            flood      all of that without a pause
 *            echo       what comes in
 *     silent-after=TIME     the guest prints no more
 *     hang-after=TIME       nothing is answered, read or written, SIGTERM not heard: SIGKILL alone helps
 *     no-answer-after=TIME  QMP is read but not answered; everything else goes on
 *     hang-up=N             QMP's connection is closed instead of the N-th command, counted over all of them; the next is accepted
 *     crash=at-start|before-greeting|on-cont|after:TIME   ends by signal= or exit=
 *     signal=SEGV|ABRT|KILL|TERM|BUS|SYS  (default SEGV)
 *     exit=N                exits instead
 *     shutdown=REASON       a SHUTDOWN event before that end
 *     message=TEXT          on stderr before that end
 *     ignore-term           SIGTERM, SIGINT and SIGHUP are ignored
 *     helpers=N             children that fork twice, each in a session of its own, all ignoring SIGTERM
 *     fork-bomb=N           a tree of processes that start again what dies among them, N forks in all
 *     boots=FILE            counts the starts: one byte each is appended
 *     faulty=N              with boots: only the first N starts are like this, later ones are right
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "emulator_script.h"

#define LINE        9 /* "%08x\n" */
#define BLOCK_LINES 400
#define BOMB_WIDTH  3
#define BOMB_DEPTH  4

static struct {
	struct script script;
	uint64_t began_ms;
	bool runs, was_running, greeted;
	int signals, listener, client; /* listener, client: -1 when there is none */
	int out, in;                   /* of the serial port, -1 */
	uint64_t lines;                /* printed since the reset */
	uint64_t next_line_ms;         /* OUTPUT_SLOW */
	char request[4096];
	size_t request_len;
	unsigned commands; /* seen */
} emu = { .signals = -1, .listener = -1, .client = -1, .out = -1, .in = -1 };

static uint64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000 - emu.began_ms;
}

/* ---------------------------------------------------------------- QMP */

static void qmp_send(const char *text)
{
	if (emu.client >= 0 && now_ms() < emu.script.no_answer_ms)
		(void)!send(emu.client, text, strlen(text), MSG_NOSIGNAL);
}

static void qmp_event(const char *name, const char *data)
{
	struct timespec ts;
	char text[256];
	clock_gettime(CLOCK_REALTIME, &ts);
	snprintf(text, sizeof(text), "{\"timestamp\": {\"seconds\": %lld, \"microseconds\": %ld}, \"event\": \"%s\"%s%s}\r\n",
		 (long long)ts.tv_sec, ts.tv_nsec / 1000, name, data[0] != '\0' ? ", \"data\": " : "", data);
	if (emu.greeted)
		qmp_send(text);
}

static void qmp_shutdown(const char *reason)
{
	char data[128];
	bool is_guest = strncmp(reason, "guest", 5) == 0;
	snprintf(data, sizeof(data), "{\"guest\": %s, \"reason\": \"%s\"}", is_guest ? "true" : "false", reason);
	qmp_event("SHUTDOWN", data);
}

static _Noreturn void die(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t none;
	if (emu.script.message != NULL)
		fprintf(stderr, "%s\n", emu.script.message);
	if (emu.script.shutdown != NULL)
		qmp_shutdown(emu.script.shutdown);
	if (emu.script.signal == 0)
		exit(emu.script.code);
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	sigaction(emu.script.signal, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	raise(emu.script.signal);
	_exit(3);
}

static void greet(void)
{
	emu.greeted = true;
	qmp_send(emu.script.greeting == GREETING_WRONG ? "220 fake.example ESMTP\r\n"
						       : "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, "
							 "\"package\": \"fake\"}, \"capabilities\": [\"oob\"]}}\r\n");
}

static void run_guest(void);

static void command_cont(void)
{
	if (emu.script.crash == CRASH_ON_CONT)
		die();
	if (!emu.runs)
		qmp_event("RESUME", "");
	run_guest();
}

static void command_stop(void)
{
	if (emu.runs)
		qmp_event("STOP", "");
	emu.runs = false;
}

static void command_reset(void)
{
	bool runs = emu.runs;
	emu.lines = 0;
	emu.was_running = emu.runs = false;
	qmp_event("RESET", "{\"guest\": false, \"reason\": \"host-qmp-system-reset\"}");
	if (runs)
		run_guest();
}

static void command_quit(void)
{
	qmp_shutdown("host-qmp-quit");
	exit(0);
}

static void command_nothing(void) {}

static const struct {
	const char *name;
	void (*run)(void);
	bool answers_first;
} commands[] = {
	{ "qmp_capabilities", command_nothing, false },
	{ "query-status", command_nothing, false },
	{ "stop", command_stop, false },
	{ "cont", command_cont, false },
	{ "system_reset", command_reset, true },
	{ "quit", command_quit, true },
};

/* The value behind "key": in the request, up to a comma or a bracket; quotes are left out. */
static void request_value(const char *request, const char *key, char *value, size_t size)
{
	char quoted[32];
	snprintf(quoted, sizeof(quoted), "\"%s\"", key);
	const char *at = strstr(request, quoted);
	at = at != NULL ? strchr(at + strlen(quoted), ':') : NULL;
	at = at != NULL ? at + 1 + strspn(at + 1, " \"") : "";
	snprintf(value, size, "%.*s", (int)strcspn(at, ",}\""), at);
}

static const char *status_value(void)
{
	if (emu.runs)
		return "{\"status\": \"running\", \"singlestep\": false, \"running\": true}";
	return emu.was_running ? "{\"status\": \"paused\", \"singlestep\": false, \"running\": false}"
			       : "{\"status\": \"prelaunch\", \"singlestep\": false, \"running\": false}";
}

static void qmp_reply(const char *kind, const char *value, const char *id)
{
	char text[512];
	snprintf(text, sizeof(text), "{\"%s\": %s%s%s}\r\n", kind, value, id[0] != '\0' ? ", \"id\": " : "", id);
	qmp_send(text);
}

static void qmp_hang_up(void)
{
	close(emu.client);
	emu.client = -1;
	emu.greeted = false;
}

static void qmp_request(const char *request)
{
	char name[64], id[32];
	if (emu.client < 0)
		return;
	if (++emu.commands == emu.script.hang_up) {
		qmp_hang_up();
		return;
	}
	request_value(request, "execute", name, sizeof(name));
	request_value(request, "id", id, sizeof(id));
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		if (!commands[i].answers_first)
			commands[i].run();
		qmp_reply("return", strcmp(name, "query-status") == 0 ? status_value() : "{}", id);
		if (commands[i].answers_first)
			commands[i].run();
		return;
	}
	qmp_reply("error", "{\"class\": \"CommandNotFound\", \"desc\": \"The fake emulator does not know this command\"}", id);
}

static void qmp_receive(void)
{
	ssize_t n = read(emu.client, emu.request + emu.request_len, sizeof(emu.request) - 1 - emu.request_len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		qmp_hang_up();
		emu.request_len = 0;
		return;
	}
	emu.request_len += (size_t)n;
	emu.request[emu.request_len] = '\0';
	char *line = emu.request, *end;
	for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		qmp_request(line);
	}
	emu.request_len = strlen(line);
	memmove(emu.request, line, emu.request_len + 1);
	if (emu.request_len == sizeof(emu.request) - 1)
		emu.request_len = 0;
}

static void qmp_accept(void)
{
	emu.client = accept4(emu.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (emu.client < 0)
		return;
	if (emu.script.crash == CRASH_BEFORE_GREETING)
		die();
	if (emu.script.greeting == GREETING_RIGHT || emu.script.greeting == GREETING_WRONG || now_ms() >= emu.script.greeting_ms)
		greet();
}

/* ---------------------------------------------------------------- the guest */

/* Waits, deaf to everything else, until somebody takes it. */
static void serial_write(const char *data, size_t len)
{
	while (len > 0 && emu.out >= 0) {
		ssize_t n = write(emu.out, data, len);
		if (n < 0)
			poll(&(struct pollfd){ .fd = emu.out, .events = POLLOUT }, 1, -1);
		data += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
}

static void serial_write_sequence(uint64_t bytes)
{
	static char block[BLOCK_LINES * LINE + 1];
	while (bytes > 0) {
		uint64_t len = 0;
		for (; len < bytes && len < BLOCK_LINES * LINE; len += LINE)
			snprintf(block + len, LINE + 1, "%08llx\n", (unsigned long long)emu.lines++);
		len = len < bytes ? len : bytes;
		serial_write(block, len);
		bytes -= len;
	}
}

static void run_guest(void)
{
	emu.runs = true;
	if (emu.was_running)
		return;
	emu.was_running = true;
	emu.next_line_ms = now_ms();
	if (emu.script.output == OUTPUT_LINE)
		serial_write("ready\n", 6);
	else if (emu.script.output == OUTPUT_BURST)
		serial_write_sequence(emu.script.output_amount);
}

static void serial_echo(void)
{
	char data[4096];
	ssize_t n = read(emu.in, data, sizeof(data));
	if (n > 0 && emu.script.output == OUTPUT_ECHO)
		serial_write(data, (size_t)n);
}

static bool guest_prints(enum output kind)
{
	return emu.runs && emu.script.output == kind && now_ms() < emu.script.silent_ms;
}

static void guest_turn(void)
{
	if (guest_prints(OUTPUT_FLOOD))
		serial_write_sequence(BLOCK_LINES * LINE);
	if (!guest_prints(OUTPUT_SLOW) || now_ms() < emu.next_line_ms)
		return;
	serial_write_sequence(LINE);
	emu.next_line_ms += emu.script.output_amount;
}

/* ---------------------------------------------------------------- helpers */

static _Noreturn void sleep_for_ever(void)
{
	for (;;)
		pause();
}

static void start_helpers(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (fork() != 0)
			continue;
		setsid();
		if (fork() == 0) {
			setsid();
			if (fork() > 0)
				_exit(0); /* its child is an orphan */
		}
		sleep_for_ever();
	}
}

static bool bomb_may_fork(atomic_int *left)
{
	return atomic_fetch_sub(left, 1) > 0;
}

/* Each has children that do the same, and replaces those that die, until there were enough forks. */
static _Noreturn void bomb(atomic_int *left)
{
	for (unsigned children = 0, depth = BOMB_DEPTH; depth > 0;) {
		if (children < BOMB_WIDTH && bomb_may_fork(left)) {
			bool is_child = fork() == 0;
			depth -= is_child;
			children = is_child ? 0 : children + 1;
		} else if (waitpid(-1, NULL, 0) > 0) {
			children--;
		} else {
			break;
		}
	}
	sleep_for_ever();
}

static void start_bomb(unsigned forks)
{
	if (forks == 0)
		return;
	atomic_int *left = mmap(NULL, sizeof(*left), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (left == MAP_FAILED)
		return;
	atomic_store(left, (int)forks - 1);
	if (fork() == 0) {
		setsid();
		bomb(left);
	}
}

/* ---------------------------------------------------------------- the process */

static int open_fifo(const char *path, const char *suffix)
{
	char *file = NULL;
	int fd = asprintf(&file, "%s%s", path, suffix) >= 0 ? open(file, O_RDWR | O_NONBLOCK | O_CLOEXEC) : -1;
	if (fd < 0) {
		fprintf(stderr, "qemu-fake: could not open '%s': %s\n", file, strerror(errno));
		exit(1);
	}
	free(file);
	return fd;
}

/* "pipe,id=ID,path=PATH", commas of PATH written twice. */
static void open_pipe(const char *value)
{
	const char *from = strstr(value, ",path=");
	char path[512];
	size_t len = 0;
	for (from = from != NULL ? from + 6 : ""; *from != '\0' && len < sizeof(path) - 1; from++) {
		path[len++] = *from;
		from += from[0] == ',' && from[1] == ',';
	}
	path[len] = '\0';
	int out = open_fifo(path, ".out"), in = open_fifo(path, ".in");
	if (emu.out < 0) {
		emu.out = out;
		emu.in = in;
	}
}

static void read_arguments(char **argv, bool *paused)
{
	int fd;
	for (; *argv != NULL; argv++) {
		if (strcmp(*argv, "-S") == 0)
			*paused = true;
		else if (strncmp(*argv, "pipe,", 5) == 0)
			open_pipe(*argv);
		else if (strncmp(*argv, "socket,id=qmp,fd=", 17) == 0 && (fd = (int)strtol(*argv + 17, NULL, 10)) > 2)
			emu.listener = fd;
	}
}

static void take_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	emu.signals = emu.script.ignores_term ? -1 : signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	signal(SIGPIPE, SIG_IGN);
}

static void hear_signal(void)
{
	struct signalfd_siginfo info;
	if (read(emu.signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	qmp_shutdown("host-signal");
	exit(0);
}

/* The next time at which something happens by itself. */
static int next_timeout(void)
{
	uint64_t now = now_ms(), next = emu.script.hang_ms;
	if (guest_prints(OUTPUT_FLOOD))
		return 0;
	if (emu.script.crash == CRASH_AFTER && emu.script.crash_ms < next)
		next = emu.script.crash_ms;
	if (emu.script.greeting == GREETING_SLOW && emu.client >= 0 && !emu.greeted && emu.script.greeting_ms < next)
		next = emu.script.greeting_ms;
	if (guest_prints(OUTPUT_SLOW) && emu.next_line_ms < next)
		next = emu.next_line_ms;
	if (next == SCRIPT_NEVER)
		return -1;
	return next > now ? (int)(next - now) : 0;
}

static void do_what_is_due(void)
{
	uint64_t now = now_ms();
	if (emu.script.crash == CRASH_AFTER && now >= emu.script.crash_ms)
		die();
	if (now >= emu.script.hang_ms)
		sleep_for_ever(); /* the signals stay blocked */
	if (emu.script.greeting == GREETING_SLOW && emu.client >= 0 && !emu.greeted && now >= emu.script.greeting_ms)
		greet();
	guest_turn();
}

static void turn(void)
{
	struct pollfd fds[] = {
		{ .fd = emu.signals, .events = POLLIN },
		{ .fd = emu.client >= 0 ? emu.client : emu.listener, .events = POLLIN },
		{ .fd = emu.runs ? emu.in : -1, .events = POLLIN },
	};
	poll(fds, 3, next_timeout());
	if (fds[0].revents != 0)
		hear_signal();
	if (fds[2].revents != 0)
		serial_echo();
	if (fds[1].revents != 0 && emu.client >= 0)
		qmp_receive();
	else if (fds[1].revents != 0)
		qmp_accept();
	do_what_is_due();
}

int main(int argc, char **argv)
{
	(void)argc;
	bool paused = false;
	emu.began_ms = now_ms();
	script_read(&emu.script);
	if (emu.script.greeting == GREETING_NONE)
		emu.script.greeting_ms = SCRIPT_NEVER;
	take_signals();
	if (emu.script.crash == CRASH_AT_START)
		die();
	read_arguments(argv + 1, &paused);
	start_helpers(emu.script.helpers);
	start_bomb(emu.script.bomb);
	if (!paused)
		run_guest();
	for (;;)
		turn();
}
