/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's terminal in raw mode. It is restored on every way out: normal return, exit(), the signals that end a program, a crash.
 * While it is stopped (SIGTSTP from outside) it is restored too.
 */
#pragma once

#include <stdbool.h>

#include "wire/err.h"

/* Both stdin and stdout are terminals, and we are in its foreground: a person sits there. */
bool term_is_interactive(void);
/* stdin may be read: it is no terminal, or one whose foreground we are (else reading would stop us). */
bool term_may_read_stdin(void);

int term_raw(struct err *err) __attribute__((warn_unused_result));
void term_restore(void);
bool term_is_raw(void);
/* Stops this process as Ctrl-Z does, with the terminal restored meanwhile. */
void term_suspend(void);
