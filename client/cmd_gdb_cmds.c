/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands are the body of one that is defined for gdb: it ends at the first that fails, as a script does, but gdb does not name the
 * file it comes from, which is one in memory. The exit code, which -ex does not give, is that of `quit`; what was not run is said.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/commands.h"
#include "client/gdb.h"
#include "wire/mem.h"

/* Counts from 0, which is the connection; what gdb says of that is said by `pwemu pipe` too. */
#define AT "$pwemu_at"

/* 1: begins what an "end" closes; -1: such an "end". */
static int block_step(const char *command)
{
	static const struct {
		const char *word;
		bool is_alone; /* with words behind it, it is a command of one line */
	} openers[] = { { "if", false },    { "while", false }, { "commands", false }, { "define", false }, { "document", false },
			{ "python", true }, { "py", true },     { "guile", true },     { "gu", true } };
	command += strspn(command, " \t");
	size_t len = strcspn(command, " \t");
	bool is_alone = command[len + strspn(command + len, " \t")] == '\0';
	if (len == 3 && memcmp(command, "end", 3) == 0)
		return -1;
	for (size_t i = 0; i < sizeof(openers) / sizeof(openers[0]); i++)
		if (strlen(openers[i].word) == len && memcmp(openers[i].word, command, len) == 0)
			return is_alone || !openers[i].is_alone;
	return 0;
}

static void write_commands(FILE *file, const struct cli *cli, const struct gdb *gdb)
{
	size_t count = cli->opts.arg_count;
	int depth = 0;
	fprintf(file, "define pwemu-commands\n%s\n", gdb->connect);
	for (size_t i = 0; i < count; i++) {
		if (depth == 0) /* inside it may be a line of Python's */
			fprintf(file, "set " AT " = %zu\n", i + 1);
		fprintf(file, "%s\n", cli->opts.args[i]);
		depth += block_step(cli->opts.args[i]);
	}
	fprintf(file, "set " AT " = %zu\nend\n", count + 1);
}

/* gdb itself writes to stdout alone. */
static void write_end(FILE *file, const struct cli *cli)
{
	size_t count = cli->opts.arg_count;
	fputs("define pwemu-end\nset confirm off\n", file);
	for (size_t i = 0; i < count; i++) {
		char *text = xasprintf("pwemu: gdb-cmds: \"%.200s\" failed%s", cli->opts.args[i],
				       i + 1 < count ? "; what follows was not run" : "");
		char *quoted = gdb_quote(text);
		fprintf(file, "if " AT " == %zu\nshell printf '%%s\\n' %s >&2\nend\n", i + 1, quoted);
		free(text);
		free(quoted);
	}
	fprintf(file, "if " AT " == %zu\nquit 0\nend\nquit 1\nend\n", count + 1);
}

/* Its path, to be freed; the file lives as long as we and gdb do. */
static char *make_script(const struct cli *cli, const struct gdb *gdb, struct err *err)
{
	int fd = memfd_create("commands", 0), copy = fd >= 0 ? dup(fd) : -1;
	FILE *file = copy >= 0 ? fdopen(copy, "w") : NULL;
	if (file != NULL) {
		fputs("set " AT " = 0\n", file);
		write_commands(file, cli, gdb);
		write_end(file, cli);
		if (fclose(file) == 0)
			return xasprintf("/proc/self/fd/%d", fd);
	}
	err_sys(err, errno, "make the script for gdb");
	return NULL;
}

/* Who pauses before the debugger comes finds it paused after. */
static int pause_first(struct cli *cli, const Pwemu__V1__Instance *inst, struct err *err)
{
	if (!opt_has(&cli->opts, "pause"))
		return 0;
	Pwemu__V1__InstanceRef ref = PWEMU__V1__INSTANCE_REF__INIT;
	Pwemu__V1__PauseRequest request = PWEMU__V1__PAUSE_REQUEST__INIT;
	ProtobufCMessage *reply = NULL;
	ref.id = inst->id;
	request.instance = &ref;
	if (call_unary(&cli->conn, CALL_INSTANCES_PAUSE, &request.base, 0, &reply, err) < 0)
		return -1;
	protobuf_c_message_free_unpacked(reply, NULL);
	return 0;
}

static int run(struct cli *cli, const Pwemu__V1__Instance *inst)
{
	struct gdb gdb;
	struct err err = ERR_INIT;
	char *script = NULL;
	int code = gdb_init(&gdb, cli, inst);
	if (code != EXIT_DONE) {
		gdb_fini(&gdb);
		return code;
	}
	if ((script = make_script(cli, &gdb, &err)) == NULL || pause_first(cli, inst, &err) < 0) {
		code = cli_refused(&err);
	} else {
		gdb_add(&gdb, "-batch");
		gdb_add(&gdb, "-x");
		gdb_add(&gdb, script);
		gdb_add(&gdb, "-ex");
		gdb_add(&gdb, "pwemu-commands");
		gdb_add(&gdb, "-ex");
		gdb_add(&gdb, "pwemu-end");
		code = gdb_exec(&gdb);
	}
	free(script);
	gdb_fini(&gdb);
	return code;
}

int cmd_gdb_cmds(struct cli *cli)
{
	Pwemu__V1__Instance *inst = gdb_instance(cli);
	if (inst == NULL)
		return EXIT_REFUSED;
	int code = run(cli, inst);
	pwemu__v1__instance__free_unpacked(inst, NULL);
	return code;
}
