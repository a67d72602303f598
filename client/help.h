/* SPDX-License-Identifier: Apache-2.0 */
/* Help, manual page and completion, all made from the tables of commands.h. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

struct command;

void help_overview(FILE *to);
int help_command(FILE *to, const struct command *command); /* returns EXIT_DONE */
/* `pwemu daemon --help`: shows the commands of the group and returns true. */
bool help_group_asked(int argc, char *const *argv);
void help_man(FILE *to);
void help_bash(FILE *to);
