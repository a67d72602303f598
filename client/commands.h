/* SPDX-License-Identifier: Apache-2.0 */
/* All commands, as one table: dispatch, help, man page and completion come from it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "client/opt.h"

struct cli;

#define ARGS_ANY 255

struct command {
	const char *name;      /* "run", or two words: "daemon info" */
	const char *summary;   /* one line for the list */
	const char *arguments; /* for people: "TARGET FILE[@ADDR]..." */
	unsigned char min_args, max_args;
	bool many_instances;            /* -i may be repeated */
	bool takes_rest;                /* what follows `--` is not for us */
	const struct opt_spec *options; /* its own; NULL: none */
	int (*run)(struct cli *cli);
	const char *details; /* further text of the help; NULL: none */
};

extern const struct command commands[]; /* ended by a row with name NULL */
extern const struct opt_spec global_options[];

/* The command that argv begins with. *words: how many of argv its name takes. NULL when there is none. */
const struct command *commands_find(int argc, char *const *argv, int *words);

/* Whether some command's name begins with this word ("daemon"). */
bool commands_is_group(const char *word);

/* ` did you mean ...?` or "" for a word that is no command. Returns buf. */
const char *commands_hint(const char *word, char *buf, size_t size);

int cmd_run(struct cli *cli);
int cmd_start(struct cli *cli);
int cmd_restart(struct cli *cli);
int cmd_stop(struct cli *cli);
int cmd_reset(struct cli *cli);
int cmd_pause(struct cli *cli);
int cmd_resume(struct cli *cli);
int cmd_rm(struct cli *cli);
int cmd_load(struct cli *cli);
int cmd_prop_ls(struct cli *cli);
int cmd_prop_get(struct cli *cli);
int cmd_prop_set(struct cli *cli);
int cmd_term(struct cli *cli);
int cmd_send(struct cli *cli);
int cmd_pipe(struct cli *cli);
int cmd_gdb(struct cli *cli);
int cmd_gdb_cmds(struct cli *cli);
int cmd_logs(struct cli *cli);
int cmd_wait(struct cli *cli);
int cmd_ls(struct cli *cli);
int cmd_status(struct cli *cli);
int cmd_share(struct cli *cli);
int cmd_unshare(struct cli *cli);
int cmd_who(struct cli *cli);
int cmd_lease_ls(struct cli *cli);
int cmd_lease_renew(struct cli *cli);
int cmd_lease_rm(struct cli *cli);
int cmd_events(struct cli *cli);
int cmd_targets(struct cli *cli);
int cmd_config_check(struct cli *cli);
int cmd_config_explain(struct cli *cli);
int cmd_daemon_info(struct cli *cli);
int cmd_daemon_stop(struct cli *cli);
int cmd_daemon_restart(struct cli *cli);
int cmd_daemon_reload(struct cli *cli);
int cmd_daemon_logs(struct cli *cli);
int cmd_proxy(struct cli *cli);
int cmd_context_add(struct cli *cli);
int cmd_context_use(struct cli *cli);
int cmd_context_ls(struct cli *cli);
int cmd_context_rm(struct cli *cli);
int cmd_context_ca(struct cli *cli);
int cmd_token_add(struct cli *cli);
int cmd_token_ls(struct cli *cli);
int cmd_token_rm(struct cli *cli);
int cmd_help(struct cli *cli);
