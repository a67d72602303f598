/* SPDX-License-Identifier: Apache-2.0 */
#include "client/term.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static volatile sig_atomic_t is_raw;

static bool in_foreground(void)
{
	return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

bool term_is_interactive(void)
{
	return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && in_foreground();
}

bool term_may_read_stdin(void)
{
	return !isatty(STDIN_FILENO) || in_foreground();
}

bool term_is_raw(void)
{
	return is_raw;
}

/* TCSANOW, not TCSADRAIN: a terminal stopped by Ctrl-S must not keep us. Changing it from the background would stop us instead. */
static void set_mode(const struct termios *mode)
{
	sigset_t block, old;
	sigemptyset(&block);
	sigaddset(&block, SIGTTOU);
	sigprocmask(SIG_BLOCK, &block, &old);
	tcsetattr(STDIN_FILENO, TCSANOW, mode);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

void term_restore(void)
{
	if (!is_raw)
		return;
	is_raw = 0;
	set_mode(&saved);
}

static void on_crash(int signal_number)
{
	term_restore();
	raise(signal_number); /* SA_RESETHAND: ends the process */
}

static void catch_crashes(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT };
	struct sigaction action = { .sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND };
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

static void enter_raw(void)
{
	struct termios raw = saved;
	cfmakeraw(&raw);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	is_raw = 1;
	set_mode(&raw);
}

int term_raw(struct err *err)
{
	static bool prepared;
	if (is_raw)
		return 0;
	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return err_sys(err, errno, "read the terminal's settings");
	if (!prepared) {
		atexit(term_restore);
		catch_crashes();
		prepared = true;
	}
	enter_raw();
	return 0;
}

void term_suspend(void)
{
	bool was_raw = is_raw;
	term_restore();
	raise(SIGSTOP);
	if (was_raw)
		enter_raw();
}
