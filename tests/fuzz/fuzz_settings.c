/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the daemon's own settings, pwemud.json. */
#include "config/settings.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings settings;
	struct err err = ERR_INIT;
	fuzz_put("pwemud.json", data, size);
	fuzz_must_say(settings_load(fuzz_path("pwemud.json"), true, &settings, &err), &err);
	return 0;
}
