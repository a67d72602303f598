/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as what two consoles print: the first byte says in pieces of which length. The same bytes in one piece must give the same
 * report. Entry point of libFuzzer (make fuzz-junit); a unit test replays the corpus through it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/junit.h"
#include "client/junit_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *report(const char *text, size_t len, size_t piece)
{
	const struct outcome outcome = { .verdict = VERDICT_TIMEOUT, .message = "time" };
	const struct junit_run run = { .target = "t", .image = "i", .outcome = &outcome, .names_channels = 1 };
	struct junit_counts counts;
	struct junit *junit = junit_new();
	char *out = NULL;
	size_t size, channel = junit_add_channel(junit, "a");
	junit_add_channel(junit, "b");
	for (size_t at = 0; at < len; at += piece)
		junit_feed(junit, channel, text + at, len - at < piece ? len - at : piece, 0);
	junit_finish(junit, 0);
	FILE *to = open_memstream(&out, &size);
	junit_xml_write(to, junit, &run);
	fclose(to);
	junit_xml_count(junit, &run, &counts);
	if (counts.tests == 0 || counts.errors + counts.failures == 0)
		abort(); /* a run that timed out looks well */
	junit_free(junit);
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)out[i] < ' ' && out[i] != '\n' && out[i] != '\t')
			abort(); /* no XML */
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const char *text = (const char *)data + 1;
	char *whole = report(text, size - 1, size), *cut = report(text, size - 1, 1u + data[0]);
	if (strcmp(whole, cut) != 0)
		abort();
	free(whole);
	free(cut);
	return 0;
}
