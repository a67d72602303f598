/* SPDX-License-Identifier: Apache-2.0 */
/* What bridge.c and the kinds of endpoints of a bridge share; nobody else includes it. */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>

#include "channel/bridge.h"

/* An endpoint that is served. They outlive each party of theirs. */
struct bridge_tcp;
struct bridge_tcp *bridge_tcp_new(struct bridge *bridge, int listener);
void bridge_tcp_review(struct bridge_tcp *tcp); /* takes NULL */
void bridge_tcp_free(struct bridge_tcp *tcp);   /* takes NULL */

struct bridge_pty;
int bridge_pty_new(struct bridge *bridge, const struct endpoint_fds *fds, const char *path, struct bridge_pty **out, struct err *err);
void bridge_pty_free(struct bridge_pty *pty); /* takes NULL */

const struct bridge_config *bridge_configuration(const struct bridge *bridge);
void bridge_tell_trouble(const struct bridge *bridge, const struct err *err);
/* Writes what there is to a descriptor that is not blocking; -1: it does not take it (errno). */
int bridge_read_to(struct bridge_party *party, int fd);
bool bridge_has_output(const struct bridge_party *party);
