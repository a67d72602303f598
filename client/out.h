/* SPDX-License-Identifier: Apache-2.0 */
/* Tables on stdout: aligned by columns of the terminal, coloured only on a terminal and without NO_COLOR. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum out_colour { OUT_PLAIN, OUT_BOLD, OUT_GREEN, OUT_YELLOW, OUT_RED, OUT_DIM, OUT_COLOUR_COUNT };

struct out_table;

/* Names of the columns; the last column is not padded. */
struct out_table *out_table_new(const char *const *columns, size_t count);
/* Blanks before every line. */
void out_table_indent(struct out_table *table, size_t columns);
/* The next cell of the row; text is copied, control characters are made harmless. */
void out_cell(struct out_table *table, enum out_colour colour, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Writes it to stdout and frees it. Columns in which no cell has text are left out. */
void out_table_print(struct out_table *table);

/* What a terminal would obey becomes blanks or question marks; see utf8_make_harmless(). */
void out_make_harmless(char *text);

/* "name:        value": `name` (with its colon) padded to the same width for all. */
void out_field(const char *name, enum out_colour colour, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define OUT_FIELD_WIDTH 14

/* "2026-11-22 21:43:01" in local time; "-" for 0. Returns buf. */
const char *out_time(uint64_t time_ns, char *buf, size_t size);
/* "350 ms", "1.2 s", "2 min", "3 h", "4 days". Returns buf. */
const char *out_span(uint64_t ms, char *buf, size_t size);
/* "12 B", "3.4 KiB". Returns buf. */
const char *out_bytes(uint64_t bytes, char *buf, size_t size);
