/* SPDX-License-Identifier: Apache-2.0 */
/* Children of the program that was this process before (exec): shims and helpers of the daemon that has replaced itself. */
#pragma once

struct event_base;
struct inherit;

/* Finds them; each is reaped when it ends, whoever else watches it. NULL when there are none. Before anything else is started. */
struct inherit *inherit_children(struct event_base *base);
void inherit_free(struct inherit *inherit); /* takes NULL */
