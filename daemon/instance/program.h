/* SPDX-License-Identifier: Apache-2.0 */
/* What an ELF program says of itself without being run. For helpers: it reads files of users. */
#pragma once

#include <stdbool.h>

/* Whether it is a dynamic program of this machine's own kind that asks for a library whose name begins so ("libseccomp.so"). A script, or
 * what cannot be read: no. */
bool program_needs(const char *path, const char *library);
