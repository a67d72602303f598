/* SPDX-License-Identifier: Apache-2.0 */
#include "client/out.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wire/utf8.h"
#include "wire/mem.h"

#define GAP 2

static const char *const colour_codes[] = {
	[OUT_PLAIN] = "",          [OUT_BOLD] = "\033[1m", [OUT_GREEN] = "\033[32m",
	[OUT_YELLOW] = "\033[33m", [OUT_RED] = "\033[31m", [OUT_DIM] = "\033[2m",
};
_Static_assert(sizeof(colour_codes) / sizeof(colour_codes[0]) == OUT_COLOUR_COUNT, "a code for every colour");

struct cell {
	enum out_colour colour;
	char *text;
};

struct out_table {
	const char *const *columns;
	size_t column_count, indent;
	struct cell *cells;
	size_t count;
};

static bool has_colour(void)
{
	static int known = -1; /* asked once */
	if (known >= 0)
		return known;
	const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
	known = isatty(STDOUT_FILENO) && (no_colour == NULL || no_colour[0] == '\0') && (term == NULL || strcmp(term, "dumb") != 0);
	return known;
}

void out_make_harmless(char *text)
{
	utf8_make_harmless(text);
}

static char *format_text(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
static char *format_text(const char *fmt, va_list ap)
{
	char *text = NULL;
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	out_make_harmless(text);
	return text;
}

static void print_text(enum out_colour colour, const char *text)
{
	if (colour == OUT_PLAIN || text[0] == '\0' || !has_colour())
		fputs(text, stdout);
	else
		printf("%s%s\033[0m", colour_codes[colour], text);
}

struct out_table *out_table_new(const char *const *columns, size_t count)
{
	struct out_table *table = xcalloc(1, sizeof(*table));
	table->columns = columns;
	table->column_count = count;
	return table;
}

void out_table_indent(struct out_table *table, size_t columns)
{
	table->indent = columns;
}

void out_cell(struct out_table *table, enum out_colour colour, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	table->cells = xrealloc(table->cells, table->count + 1, sizeof(*table->cells));
	table->cells[table->count++] = (struct cell){ colour, format_text(fmt, ap) };
	va_end(ap);
}

/* 0: nothing in it. */
static size_t column_width(const struct out_table *table, size_t column)
{
	size_t width = 0;
	for (size_t i = column; i < table->count; i += table->column_count) {
		size_t w = utf8_width(table->cells[i].text);
		width = w > width ? w : width;
	}
	size_t head = utf8_width(table->columns[column]);
	return width > 0 && head > width ? head : width;
}

static void print_row(const struct out_table *table, const size_t *widths, const struct cell *row)
{
	size_t pad = table->indent;
	for (size_t i = 0; i < table->column_count; i++) {
		const char *text = row != NULL ? row[i].text : table->columns[i];
		if (widths[i] == 0)
			continue;
		if (text[0] != '\0') /* blanks only before text: none at the end of a line */
			printf("%*s", (int)pad, "");
		print_text(row != NULL ? row[i].colour : OUT_BOLD, text);
		pad = (text[0] != '\0' ? 0 : pad) + widths[i] + GAP - utf8_width(text);
	}
	putchar('\n');
}

void out_table_print(struct out_table *table)
{
	size_t *widths = xcalloc(table->column_count, sizeof(*widths));
	for (size_t i = 0; i < table->column_count; i++)
		widths[i] = table->count > 0 ? column_width(table, i) : utf8_width(table->columns[i]);
	print_row(table, widths, NULL);
	for (size_t i = 0; i < table->count; i += table->column_count)
		print_row(table, widths, &table->cells[i]);
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(widths);
	free(table);
}

void out_field(const char *name, enum out_colour colour, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *text = format_text(fmt, ap);
	va_end(ap);
	printf("%s%*s", name, (int)(OUT_FIELD_WIDTH - utf8_width(name)), "");
	print_text(colour, text);
	putchar('\n');
	free(text);
}

const char *out_time(uint64_t time_ns, char *buf, size_t size)
{
	time_t seconds = (time_t)(time_ns / 1000000000);
	struct tm tm;
	if (time_ns == 0 || localtime_r(&seconds, &tm) == NULL || strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(buf, size, "-");
	return buf;
}

const char *out_span(uint64_t ms, char *buf, size_t size)
{
	static const struct {
		uint64_t below_ms, unit_ms;
		const char *name;
	} units[] = { { 1000, 1, "ms" },     { 10000, 0, "s" }, /* with a decimal */
		      { 120000, 1000, "s" }, { 7200000, 60000, "min" }, { 172800000, 3600000, "h" }, { UINT64_MAX, 86400000, "days" } };
	size_t i = 0;
	while (ms >= units[i].below_ms && i + 1 < sizeof(units) / sizeof(units[0]))
		i++;
	if (units[i].unit_ms == 0)
		snprintf(buf, size, "%.1f %s", (double)ms / 1000, units[i].name);
	else
		snprintf(buf, size, "%llu %s", (unsigned long long)(ms / units[i].unit_ms), units[i].name);
	return buf;
}

const char *out_bytes(uint64_t bytes, char *buf, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	size_t unit = 0;
	for (; value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		value /= 1024;
	bool is_whole = value == (double)(uint64_t)value;
	snprintf(buf, size, is_whole ? "%.0f %s" : "%.1f %s", value, units[unit]);
	return buf;
}
