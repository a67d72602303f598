/* SPDX-License-Identifier: Apache-2.0 */
/* Where we are, for the daemon: it tells our instances from those of other machines by it. */
#pragma once

#include "pwemu/v1/common.pb-c.h"

struct conn;

/* Belongs to this module. conn: for whether we know that we are elsewhere. */
Pwemu__V1__Origin *origin_of(const struct conn *conn);
