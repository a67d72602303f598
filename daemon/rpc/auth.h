/* SPDX-License-Identifier: Apache-2.0 */
/* Who may come in, and how much: the callbacks of the server. Rights on instances are service.h's. */
#pragma once

#include "rpc/service.h"

/* Before the first call, and after each reload of the settings. */
void auth_init(struct services *services);
void auth_fini(struct services *services);

/* rpc_server_config.admit, .authenticate and .authorize; ctx: struct services. */
int auth_admit(void *ctx, const struct rpc_peer *peer, struct err *err);
int auth_authenticate(void *ctx, struct rpc_peer *peer, const char *certificate, const char *token, struct err *err);
int auth_authorize(void *ctx, const struct rpc_peer *peer, const struct rpc_method *method, struct err *err);
