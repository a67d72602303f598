/* SPDX-License-Identifier: Apache-2.0 */
/* One run as a JUnit XML <testsuite>. Pure but for the FILE. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client/junit.h"
#include "client/verdict.h"

struct junit_run {
	const char *target, *image; /* texts may be NULL */
	const char *hostname;
	uint64_t began_ns, ended_ns; /* since the Unix epoch */
	const struct outcome *outcome;
	int names_channels; /* put the channel's name before that of the suite */
	/* Properties in their order; those without a value are left out. */
	const struct junit_property {
		const char *name, *value;
	} * properties;
	size_t property_count;
};

struct junit_counts {
	size_t tests, failures, errors, skipped;
};

/* As the file has it: with the case that stands for the run where no test tells of its end. */
void junit_xml_count(const struct junit *junit, const struct junit_run *run, struct junit_counts *out);

/* `junit` is finished. */
void junit_xml_write(FILE *to, const struct junit *junit, const struct junit_run *run);

/* Text with what XML needs. A byte that XML cannot hold (control characters, no UTF-8) becomes \xNN. */
void junit_xml_escape(FILE *to, const char *text, size_t len, int in_attribute);
