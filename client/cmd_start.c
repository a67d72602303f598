/* SPDX-License-Identifier: Apache-2.0 */
#include "client/commands.h"
#include "client/start.h"

int cmd_start(struct cli *cli)
{
	return start_command(cli, NULL);
}
