/* SPDX-License-Identifier: Apache-2.0 */
/* Who set a value: a side table of a target that is read, from the value's name ("qemu.args[0]") to "FILE:LINE" or "preset NAME". */
#pragma once

#include <stdbool.h>

struct origins;

struct origins *origins_new(void);
void origins_free(struct origins *origins); /* takes NULL */

/* All take NULL for `origins`: then nothing is kept. A later word about the same value replaces the earlier one. */
void origins_set(struct origins *origins, const char *name, const char *where);
/* Forgets the value, and those inside of it: "gdb" also "gdb[0]", "hang" also "hang.answer". */
void origins_drop(struct origins *origins, const char *name);
/* NULL: nobody set it. */
const char *origins_get(const struct origins *origins, const char *name);
