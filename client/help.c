/* SPDX-License-Identifier: Apache-2.0 */
#include "client/help.h"

#include <ctype.h>
#include <string.h>

#include "client/cli.h"
#include "client/commands.h"
#include "client/say.h"

#ifndef PWEMU_VERSION
#define PWEMU_VERSION "unknown"
#endif

#define OPTION_COLUMN 32

static void format_option(const struct opt_spec *spec, char *text, size_t size)
{
	char letter[8] = "    ";
	if (spec->letter != '\0')
		snprintf(letter, sizeof(letter), "-%c, ", spec->letter);
	const char *before = spec->type == OPT_FLAG ? "" : spec->type == OPT_MAY_CHOOSE ? "[=" : " ";
	const char *after = spec->type == OPT_MAY_CHOOSE ? "]" : "";
	snprintf(text, size, "%s--%s%s%s%s", letter, spec->name, before, spec->type == OPT_FLAG ? "" : spec->arg, after);
}

/* `once`: of what may be repeated in general this command takes one. */
static void show_options(FILE *to, const struct opt_spec *options, bool once)
{
	for (; options != NULL && options->name != NULL; options++) {
		char text[128];
		if (options->alias != NULL)
			continue;
		format_option(options, text, sizeof(text));
		if (strlen(text) + 2 > OPTION_COLUMN)
			fprintf(to, "  %s\n  %*s%s", text, OPTION_COLUMN, "", options->help);
		else
			fprintf(to, "  %-*s%s", OPTION_COLUMN, text, options->help);
		fputs(options->repeat && !once ? "; may be repeated\n" : "\n", to);
	}
}

static void show_commands(FILE *to, const char *group)
{
	for (const struct command *c = commands; c->name != NULL; c++)
		if (group == NULL || strncmp(c->name, group, strlen(group)) == 0)
			fprintf(to, "  %-16s%s\n", c->name, c->summary);
}

void help_overview(FILE *to)
{
	fputs("Usage: pwemu [OPTION...] COMMAND [ARGUMENT...]\n"
	      "Runs firmware on emulated boards.\n"
	      "\n"
	      "  pwemu targets                                   what can be emulated\n"
	      "  pwemu run qemu-lm3s6965evb fw.elf               boot, show the console, end with the guest's code\n"
	      "  pwemu start qemu-netduinoplus2 -f fw.elf -i b2  leave it running; then: pwemu term -i b2\n"
	      "\nCommands:\n",
	      to);
	show_commands(to, NULL);
	fputs("\nOptions, before or after the command:\n", to);
	show_options(to, global_options, true);
	fputs("\n`pwemu help COMMAND` says more.\n", to);
}

int help_command(FILE *to, const struct command *command)
{
	fprintf(to, "Usage: pwemu %s [OPTION...]%s%s\n%c%s.\n", command->name, command->arguments[0] != '\0' ? " " : "", command->arguments,
		toupper((unsigned char)command->summary[0]), command->summary + 1);
	if (command->details != NULL)
		fprintf(to, "\n%s\n", command->details);
	if (command->options != NULL) {
		fputs("\nOptions:\n", to);
		show_options(to, command->options, false);
	}
	fputs("\nOptions of every command:\n", to);
	show_options(to, global_options, !command->many_instances);
	return EXIT_DONE;
}

bool help_group_asked(int argc, char *const *argv)
{
	if (argc < 2 || !commands_is_group(argv[0]) || (strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0))
		return false;
	show_commands(stdout, argv[0]);
	return true;
}

int cmd_help(struct cli *cli)
{
	if (opt_has(&cli->opts, "man"))
		help_man(stdout);
	else if (opt_has(&cli->opts, "bash"))
		help_bash(stdout);
	else if (cli->opts.arg_count == 0)
		help_overview(stdout);
	else {
		int words = 0;
		char *const *names = (char *const *)(uintptr_t)cli->opts.args;
		const struct command *found = commands_find((int)cli->opts.arg_count, names, &words);
		if (found != NULL)
			return help_command(stdout, found);
		if (!commands_is_group(cli->opts.args[0])) {
			char hint[256];
			return cli_usage(cli, "unknown command '%s'%s", cli->opts.args[0],
					 commands_hint(cli->opts.args[0], hint, sizeof(hint)));
		}
		show_commands(stdout, cli->opts.args[0]);
	}
	return EXIT_DONE;
}

/* ---------------------------------------------------------------- man(1) */

/* roff: a hyphen that is to be copied is \-, a line must not begin with a dot or a quote. */
static void man_text(FILE *to, const char *text)
{
	bool line_begins = true;
	for (; *text != '\0'; text++) {
		if (line_begins && (*text == '.' || *text == '\''))
			fputs("\\&", to);
		line_begins = *text == '\n';
		if (*text == '-')
			fputs("\\-", to);
		else if (*text == '\\')
			fputs("\\e", to);
		else if (*text == '\n' && text[1] == '\n')
			fputs("\n.PP", to);
		else
			fputc(*text, to);
	}
}

static void man_options(FILE *to, const struct opt_spec *options)
{
	for (; options != NULL && options->name != NULL; options++) {
		char text[128];
		if (options->alias != NULL)
			continue;
		format_option(options, text, sizeof(text));
		fputs(".TP\n.B ", to);
		man_text(to, text + strspn(text, " "));
		fputc('\n', to);
		man_text(to, options->help);
		fputs(options->repeat ? "; may be repeated\n" : "\n", to);
	}
}

void help_man(FILE *to)
{
	fprintf(to,
		".TH PWEMU 1 \"\" \"pwemu %s\"\n.SH NAME\npwemu \\- run firmware on emulated boards\n.SH SYNOPSIS\n.B pwemu\n"
		"[OPTION...] COMMAND [ARGUMENT...]\n.SH OPTIONS\nBefore or after the command.\n",
		PWEMU_VERSION);
	man_options(to, global_options);
	fputs(".SH COMMANDS\n", to);
	for (const struct command *c = commands; c->name != NULL; c++) {
		fprintf(to, ".SS %s ", c->name);
		man_text(to, c->arguments);
		fprintf(to, "\n%c", toupper((unsigned char)c->summary[0]));
		man_text(to, c->summary + 1);
		fputs(".\n", to);
		if (c->details != NULL) {
			fputs(".PP\n", to);
			man_text(to, c->details);
			fputc('\n', to);
		}
		man_options(to, c->options);
	}
}

/* ---------------------------------------------------------------- bash */

static void bash_words(FILE *to, const struct opt_spec *options)
{
	for (; options != NULL && options->name != NULL; options++)
		if (options->alias == NULL)
			fprintf(to, " --%s", options->name);
}

void help_bash(FILE *to)
{
	fputs("# completion of pwemu for bash, made by `pwemu help --bash`\n"
	      "_pwemu() {\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' words='' word skip='' count=0\n"
	      "\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
	      "\t\tif [ -n \"$skip\" ]; then skip=; continue; fi\n"
	      "\t\tcase $word in\n"
	      "\t\t-i|-C|-w|-c|-H|--instance|--working-dir|--config|--host) skip=1 ;;\n"
	      "\t\t-*) ;;\n"
	      "\t\t*) if [ \"$command\" = daemon ]; then command=\"daemon $word\"; elif [ -z \"$command\" ]; then command=$word; else "
	      "count=$((count+1)); fi ;;\n"
	      "\t\tesac\n"
	      "\tdone\n"
	      "\tcase $prev in\n"
	      "\t-i|--instance) mapfile -t COMPREPLY < <(compgen -W \"$(pwemu ls -a 2>/dev/null | awk 'NR > 1 { print $1 }')\" -- "
	      "\"$cur\"); return ;;\n"
	      "\t-C|-w|--working-dir|--log-dir) mapfile -t COMPREPLY < <(compgen -d -- \"$cur\"); return ;;\n"
	      "\t-f|--file|-c|--config|--result|--junit) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n"
	      "\t-o|--output) mapfile -t COMPREPLY < <(compgen -W 'table json' -- \"$cur\"); return ;;\n"
	      "\tesac\n"
	      "\tcase $command in\n",
	      to);
	for (const struct command *c = commands; c->name != NULL; c++) {
		fprintf(to, "\t'%s') words='", c->name);
		bash_words(to, c->options);
		fputs("' ;;\n", to);
	}
	fputs("\t'') words='", to);
	for (const struct command *c = commands; c->name != NULL; c++)
		fprintf(to, " %.*s", (int)strcspn(c->name, " "), c->name);
	fputs("' ;;\n\tdaemon) words='info stop restart reload logs' ;;\n\tesac\n", to);
	fputs("\tif [[ $cur == -* ]]; then words+='", to);
	bash_words(to, global_options);
	fputs("'\n"
	      "\telif [[ $command == run || $command == start || $command == restart || $command == targets ]] && [ $count = 0 ]; then\n"
	      "\t\twords=$(pwemu targets 2>/dev/null | awk 'NR > 1 { print $1 }')\n"
	      "\telif [ \"$command\" = run ]; then\n"
	      "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return\n"
	      "\tfi\n"
	      "\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
	      "}\n"
	      "complete -o filenames -F _pwemu pwemu\n",
	      to);
}
