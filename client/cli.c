/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the command, parses, checks what is common to all commands, and calls it. */
#include "client/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/commands.h"
#include "client/help.h"
#include "client/say.h"

#ifndef PWEMU_VERSION
#define PWEMU_VERSION "unknown"
#endif

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (cli->command != NULL)
		say_error("%s: %s (see pwemu help %s)", cli->command->name, text, cli->command->name);
	else
		say_error("%s (see pwemu help)", text);
	return EXIT_USAGE;
}

int cli_refused(const struct err *err)
{
	say_err(err);
	return EXIT_REFUSED;
}

int cli_output_failed(int error)
{
	if (error == EPIPE)
		return EXIT_SIGNAL + SIGPIPE;
	say_error("write to stdout: %s", strerror(error));
	return EXIT_REFUSED;
}

int cli_finish_output(int code)
{
	return !ferror(stdout) && fflush(stdout) == 0 ? code : cli_output_failed(errno);
}

int cli_open(struct cli *cli, enum conn_mode mode, struct err *err)
{
	if (cli->conn.client != NULL)
		return 0;
	return conn_init(&cli->conn, opt_text(&cli->opts, "host"), opt_text(&cli->opts, "context"), err) < 0
		       ? -1
		       : conn_open(&cli->conn, mode, err);
}

int cli_connect(struct cli *cli, enum conn_mode mode)
{
	struct err err = ERR_INIT;
	if (cli_open(cli, mode, &err) == 0)
		return 0;
	say_err(&err);
	return -1;
}

static int unknown_command(const struct cli *cli, char *const *argv, int argc)
{
	char hint[256], both[128];
	if (commands_is_group(argv[0])) {
		if (argc < 2 || argv[1][0] == '-')
			return cli_usage(cli, "%s: which command? try 'pwemu help %s'", argv[0], argv[0]);
		snprintf(both, sizeof(both), "%s %s", argv[0], argv[1]);
		return cli_usage(cli, "unknown command '%s'%s", both, commands_hint(both, hint, sizeof(hint)));
	}
	return cli_usage(cli, "unknown command '%s'%s", argv[0], commands_hint(argv[0], hint, sizeof(hint)));
}

/* Commands that do not take words are often given the name of an instance: the instance is always -i. */
static int too_many_words(const struct cli *cli)
{
	const char *word = cli->opts.args[cli->command->max_args];
	if (cli->command->max_args == 0 && !opt_has(&cli->opts, "instance"))
		return cli_usage(cli, "takes no '%s': did you mean -i %s?", word, word);
	return cli_usage(cli, "does not take '%s'", word);
}

/* `--` means only that none of the words is an option. */
static void take_rest_as_words(struct opts *opts)
{
	for (size_t i = 0; i < opts->rest_count; i++)
		opt_add_word(opts, opts->rest[i]);
}

static int check_words(struct cli *cli)
{
	const struct command *c = cli->command;
	if (opt_count(&cli->opts, "instance") > 1 && !c->many_instances)
		return cli_usage(cli, "takes one -i");
	if (cli->opts.has_rest && !c->takes_rest)
		take_rest_as_words(&cli->opts);
	if (cli->opts.arg_count > c->max_args)
		return too_many_words(cli);
	if (cli->opts.arg_count < c->min_args)
		return cli_usage(cli, "wants %s", c->arguments);
	return 0;
}

static int run_command(struct cli *cli)
{
	if (opt_has(&cli->opts, "help"))
		return cli_finish_output(help_command(stdout, cli->command));
	int code = check_words(cli);
	if (code != 0)
		return code;
	say_is_quiet = opt_has(&cli->opts, "quiet");
	say_is_verbose = opt_has(&cli->opts, "verbose");
	return cli_finish_output(cli->command->run(cli));
}

static int without_command(const struct cli *cli)
{
	if (opt_has(&cli->opts, "version")) {
		printf("pwemu %s\n", PWEMU_VERSION);
		return cli_finish_output(EXIT_DONE);
	}
	bool asked = opt_has(&cli->opts, "help");
	help_overview(asked ? stdout : stderr);
	return asked ? cli_finish_output(EXIT_DONE) : EXIT_USAGE;
}

static int parse_and_run(struct cli *cli, int argc, char **argv)
{
	const struct opt_spec *tables[OPT_TABLES] = { global_options, NULL };
	struct err err = ERR_INIT;
	int used = opt_parse(&cli->opts, tables, argc, argv, true, &err), words = 0;
	if (used < 0)
		return cli_usage(cli, "%s", err.msg);
	if (used == argc || opt_has(&cli->opts, "version"))
		return without_command(cli);
	cli->command = commands_find(argc - used, argv + used, &words);
	if (cli->command == NULL && opt_has(&cli->opts, "help"))
		return without_command(cli);
	if (cli->command == NULL)
		return help_group_asked(argc - used, argv + used) ? cli_finish_output(EXIT_DONE)
								  : unknown_command(cli, argv + used, argc - used);
	tables[1] = cli->command->options;
	used += words;
	if (opt_parse(&cli->opts, tables, argc - used, argv + used, false, &err) < 0)
		return cli_usage(cli, "%s", err.msg);
	return run_command(cli);
}

/* A closed stdin, stdout or stderr must not become the number of our socket. Reading gives the end, writing fails with EBADF. */
static void fill_standard_fds(void)
{
	static const int flags[] = { O_RDONLY, O_RDONLY, O_WRONLY };
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", flags[fd]) < 0)
			_exit(EXIT_REFUSED);
}

int cli_main(int argc, char **argv)
{
	struct cli cli = { .opts = OPTS_INIT };
	fill_standard_fds();
	signal(SIGPIPE, SIG_IGN);
	int code = parse_and_run(&cli, argc > 0 ? argc - 1 : 0, argv + 1);
	conn_fini(&cli.conn);
	opt_fini(&cli.opts);
	return code;
}
