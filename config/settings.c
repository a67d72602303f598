/* SPDX-License-Identifier: Apache-2.0 */
#include "config/settings.h"

void settings_init(struct settings *settings)
{
	*settings = (struct settings){
		.port_first = 20000,
		.port_last = 29999,
		.log_limit_bytes = UINT64_C(256) << 20,
		.keep_ms = UINT64_C(7) * 24 * 3600 * 1000,
		.keep_bytes = UINT64_C(2) << 30,
	};
}
