/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli.h"
#include "client/commands.h"
#include "client/gdb.h"

int cmd_gdb(struct cli *cli)
{
	struct gdb gdb;
	Pwemu__V1__Instance *inst = gdb_instance(cli);
	if (inst == NULL)
		return EXIT_REFUSED;
	int code = gdb_init(&gdb, cli, inst);
	if (code == EXIT_DONE) {
		gdb_add(&gdb, "-ex");
		gdb_add(&gdb, gdb.connect);
		for (size_t i = 0; i < cli->opts.rest_count; i++)
			gdb_add(&gdb, cli->opts.rest[i]);
		code = gdb_exec(&gdb);
	}
	gdb_fini(&gdb);
	pwemu__v1__instance__free_unpacked(inst, NULL);
	return code;
}
