/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli.h"
#include "client/commands.h"
#include "client/gdb.h"
#include "client/say.h"

int cmd_gdb(struct cli *cli)
{
	struct gdb gdb;
	struct err err = ERR_INIT;
	Pwemu__V1__Instance *inst = gdb_instance(cli);
	if (inst == NULL)
		return EXIT_REFUSED;
	int code = EXIT_REFUSED;
	if (gdb_init(&gdb, cli, inst, &err) < 0) {
		say_err(&err);
		code = err.code == ERR_NOT_FOUND && gdb.connect == NULL && gdb.image == NULL ? EXIT_NOT_FOUND : EXIT_REFUSED;
	} else {
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
