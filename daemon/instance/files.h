/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an instance shows in its working directory, as pw_emu has it: handles.json, NAME.pid, links NAME.log to logs and CHANNEL to PTYs. It
 * is output for others, never read back. A helper writes it, one at a time, soon after each change.
 */
#pragma once

#include <stdbool.h>

struct files;
struct instance;

struct files *files_new(struct instance *inst);
void files_free(struct files *files); /* takes NULL; leaves the files as they are */

/* What is to be there has changed: it is looked at from the loop, and instance_changed() comes when all of it is there. */
void files_update(struct instance *inst);
void files_state_changed(struct instance *inst);
bool files_are_settled(const struct instance *inst);
/* An earlier daemon may have made all that this instance shows. */
void files_assume(struct instance *inst);
/* Removes all of them, and a directory of ours that is empty then; soon, in a helper that nobody waits for. */
void files_erase(struct instance *inst);
