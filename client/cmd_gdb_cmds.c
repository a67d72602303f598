/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands are a script that gdb reads from a file in memory: gdb ends a script at the first command that fails, and says so by its
 * exit code, which it does not for -ex.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/call.h"
#include "client/cli.h"
#include "client/commands.h"
#include "client/gdb.h"
#include "wire/mem.h"

static int write_line(int fd, const char *text)
{
	size_t len = strlen(text);
	return write(fd, text, len) == (ssize_t)len && write(fd, "\n", 1) == 1 ? 0 : -1;
}

/* Its path, to be freed; the file lives as long as we and gdb do. */
static char *make_script(const struct cli *cli, const struct gdb *gdb, struct err *err)
{
	int fd = memfd_create("commands", 0);
	int rc = fd < 0 ? -1 : write_line(fd, gdb->connect);
	for (size_t i = 0; i < cli->opts.arg_count && rc == 0; i++)
		rc = write_line(fd, cli->opts.args[i]);
	if (rc == 0)
		return xasprintf("/proc/self/fd/%d", fd);
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
