/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report never looks better than the run: where the verdict is not `passed` and no test tells of that, a case named after the
 * image does. A run without any test is that case alone.
 */
#include "client/junit_xml.h"

#include <string.h>
#include <time.h>

#include "wire/utf8.h"

#define NS_PER_S 1000000000u

/* ---------------------------------------------------------------- text */

static int is_xml(uint32_t point)
{
	return (point >= 0x20 || point == '\t' || point == '\n' || point == '\r') && point != 0xfffe && point != 0xffff;
}

static const char *entity(uint32_t point, int in_attribute)
{
	switch (point) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\r':
		return "&#13;";
	case '\n':
		return in_attribute ? "&#10;" : NULL;
	case '\t':
		return in_attribute ? "&#9;" : NULL;
	default:
		return NULL;
	}
}

void junit_xml_escape(FILE *to, const char *text, size_t len, int in_attribute)
{
	for (size_t i = 0; i < len;) {
		uint32_t point = 0;
		size_t n = utf8_decode(text + i, len - i, &point);
		const char *name = n > 0 ? entity(point, in_attribute) : NULL;
		if (name != NULL)
			fputs(name, to);
		else if (n > 0 && is_xml(point))
			fwrite(text + i, 1, n, to);
		else
			for (size_t k = 0; k < (n > 0 ? n : 1); k++)
				fprintf(to, "\\x%02x", (unsigned char)text[i + k]);
		i += n > 0 ? n : 1;
	}
}

static void write_attribute(FILE *to, const char *name, const char *value)
{
	fprintf(to, " %s=\"", name);
	junit_xml_escape(to, value, strlen(value), 1);
	fputc('"', to);
}

static void write_element(FILE *to, const char *indent, const char *name, const char *text, size_t len)
{
	if (len == 0)
		return;
	fprintf(to, "%s<%s>", indent, name);
	junit_xml_escape(to, text, len, 0);
	fprintf(to, "</%s>\n", name);
}

/* ---------------------------------------------------------------- what stands for the run */

static int is_error(enum verdict verdict)
{
	return verdict != VERDICT_PASSED && verdict != VERDICT_FAILED;
}

/* Whether a test tells why the verdict is what it is. */
static int is_explained(const struct junit *junit, enum verdict verdict)
{
	if (verdict == VERDICT_PASSED)
		return 1;
	if (junit_total(junit, JUNIT_UNFINISHED) > 0)
		return 1;
	return verdict == VERDICT_FAILED && junit_total(junit, JUNIT_FAILED) > 0;
}

static size_t total(const struct junit *junit)
{
	size_t sum = 0;
	for (int i = 0; i < JUNIT_RESULT_COUNT; i++)
		sum += junit_total(junit, (enum junit_result)i);
	return sum;
}

static int has_run_case(const struct junit *junit, const struct junit_run *run)
{
	return total(junit) == 0 || !is_explained(junit, run->outcome->verdict);
}

static size_t dropped(const struct junit *junit)
{
	size_t sum = 0;
	for (int i = 0; i < JUNIT_RESULT_COUNT; i++)
		sum += junit_dropped(junit, (enum junit_result)i);
	return sum;
}

/* The file's numbers are those of its elements: what was dropped counts as the one case that tells of it. */
void junit_xml_count(const struct junit *junit, const struct junit_run *run, struct junit_counts *out)
{
	const enum verdict verdict = run->outcome->verdict;
	*out = (struct junit_counts){
		.tests = junit_count(junit),
		.failures = junit_total(junit, JUNIT_FAILED) - junit_dropped(junit, JUNIT_FAILED),
		.errors = junit_total(junit, JUNIT_UNFINISHED) - junit_dropped(junit, JUNIT_UNFINISHED),
		.skipped = junit_total(junit, JUNIT_SKIPPED) - junit_dropped(junit, JUNIT_SKIPPED),
	};
	if (dropped(junit) > 0) {
		out->tests++;
		out->errors++;
	}
	if (has_run_case(junit, run)) {
		out->tests++;
		out->failures += verdict == VERDICT_FAILED;
		out->errors += (size_t)is_error(verdict);
	}
}

/* ---------------------------------------------------------------- elements */

static void begin_case(FILE *to, const char *prefix, const char *suite, const char *name, double seconds)
{
	fputs("  <testcase classname=\"", to);
	if (prefix != NULL) {
		junit_xml_escape(to, prefix, strlen(prefix), 1);
		fputc('.', to);
	}
	junit_xml_escape(to, suite, strlen(suite), 1);
	fputc('"', to);
	write_attribute(to, "name", name);
	fprintf(to, " time=\"%.3f\">\n", seconds);
}

static void begin_problem(FILE *to, const char *element, const char *type, const char *message)
{
	fprintf(to, "    <%s", element);
	if (message != NULL)
		write_attribute(to, "message", message);
	if (type != NULL)
		write_attribute(to, "type", type);
}

static void write_failure(FILE *to, const struct junit_case *c)
{
	begin_problem(to, "failure", "failed", c->message != NULL ? c->message : "the test failed");
	fputc('>', to);
	junit_xml_escape(to, c->failure != NULL ? c->failure : "", c->failure_len, 0);
	fputs("</failure>\n", to);
}

/* It did not end. Where the run ended under it, the verdict is why. */
static void write_unfinished(FILE *to, const struct junit_case *c, const struct outcome *outcome)
{
	char message[sizeof(outcome->message) + 64];
	const char *type = c->message != NULL ? "unfinished" : verdict_name(outcome->verdict);
	snprintf(message, sizeof(message), "%s: %s", type, c->message != NULL ? c->message : outcome->message);
	begin_problem(to, "error", type, message);
	fputs("/>\n", to);
}

static void write_case(FILE *to, const struct junit *junit, const struct junit_case *c, const struct junit_run *run)
{
	begin_case(to, run->names_channels ? junit_channel_name(junit, c->channel) : NULL, c->suite, c->name, c->seconds);
	if (c->result == JUNIT_FAILED) {
		write_failure(to, c);
	} else if (c->result == JUNIT_UNFINISHED) {
		write_unfinished(to, c, run->outcome);
	} else if (c->result == JUNIT_SKIPPED) {
		begin_problem(to, "skipped", NULL, c->message);
		fputs("/>\n", to);
	}
	write_element(to, "    ", "system-out", c->output, c->output_len);
	fputs("  </testcase>\n", to);
}

static void write_dropped(FILE *to, const struct junit *junit, const struct junit_run *run)
{
	char message[128];
	if (dropped(junit) == 0)
		return;
	snprintf(message, sizeof(message), "%zu more test cases are not listed; of these %zu failed and %zu did not end", dropped(junit),
		 junit_dropped(junit, JUNIT_FAILED), junit_dropped(junit, JUNIT_UNFINISHED));
	begin_case(to, NULL, run->target != NULL ? run->target : "pwemu", "too many test cases", 0);
	begin_problem(to, "error", "too-many", message);
	fputs("/>\n  </testcase>\n", to);
}

static double run_seconds(const struct junit_run *run)
{
	return run->ended_ns > run->began_ns ? (double)(run->ended_ns - run->began_ns) / NS_PER_S : 0;
}

/* What was printed outside of tests, of each channel under its name where there are several. */
static void write_outside(FILE *to, const struct junit *junit, const char *indent)
{
	size_t len, all = 0;
	for (size_t i = 0; i < junit_channel_count(junit); i++)
		all += junit_channel_text(junit, i, &len) != NULL;
	if (all == 0)
		return;
	fprintf(to, "%s<system-out>", indent);
	for (size_t i = 0; i < junit_channel_count(junit); i++) {
		const char *text = junit_channel_text(junit, i, &len);
		if (text == NULL)
			continue;
		if (junit_channel_count(junit) > 1) {
			fputs("--- ", to);
			junit_xml_escape(to, junit_channel_name(junit, i), strlen(junit_channel_name(junit, i)), 0);
			fputs(" ---\n", to);
		}
		junit_xml_escape(to, text, len, 0);
	}
	fputs("</system-out>\n", to);
}

static void write_run_case(FILE *to, const struct junit *junit, const struct junit_run *run)
{
	const struct outcome *outcome = run->outcome;
	const char *target = run->target != NULL ? run->target : "pwemu";
	bool is_alone = total(junit) == 0;
	begin_case(to, NULL, target, run->image != NULL ? run->image : target, is_alone ? run_seconds(run) : 0);
	if (outcome->verdict != VERDICT_PASSED) {
		begin_problem(to, is_error(outcome->verdict) ? "error" : "failure", verdict_name(outcome->verdict), outcome->message);
		fputs("/>\n", to);
	}
	if (is_alone)
		write_outside(to, junit, "    ");
	fputs("  </testcase>\n", to);
}

static void write_properties(FILE *to, const struct junit_run *run)
{
	fputs("  <properties>\n", to);
	for (size_t i = 0; i < run->property_count; i++) {
		if (run->properties[i].value == NULL)
			continue;
		fputs("    <property", to);
		write_attribute(to, "name", run->properties[i].name);
		write_attribute(to, "value", run->properties[i].value);
		fputs("/>\n", to);
	}
	fputs("  </properties>\n", to);
}

static void begin_suite(FILE *to, const struct junit *junit, const struct junit_run *run)
{
	struct junit_counts counts;
	struct tm tm;
	char when[32] = "";
	time_t seconds = (time_t)(run->began_ns / NS_PER_S);
	junit_xml_count(junit, run, &counts);
	if (gmtime_r(&seconds, &tm) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm); /* UTC; the schema knows no zone */
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite", to);
	write_attribute(to, "name", run->target != NULL ? run->target : "pwemu");
	fprintf(to, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\" time=\"%.3f\"", counts.tests, counts.failures,
		counts.errors, counts.skipped, run_seconds(run));
	write_attribute(to, "timestamp", when);
	write_attribute(to, "hostname", run->hostname != NULL ? run->hostname : "localhost");
	fputs(">\n", to);
}

void junit_xml_write(FILE *to, const struct junit *junit, const struct junit_run *run)
{
	begin_suite(to, junit, run);
	write_properties(to, run);
	for (size_t i = 0; i < junit_count(junit); i++)
		write_case(to, junit, junit_case(junit, i), run);
	write_dropped(to, junit, run);
	if (has_run_case(junit, run))
		write_run_case(to, junit, run);
	if (total(junit) > 0)
		write_outside(to, junit, "  ");
	fputs("</testsuite>\n", to);
}
