/* SPDX-License-Identifier: Apache-2.0 */
/* Words as a shell takes them. */
#pragma once

#include <stdio.h>

/* Single quotes around what a shell would not take as it is. */
void quote_for_shell(FILE *to, const char *word);
