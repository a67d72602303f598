/* SPDX-License-Identifier: Apache-2.0 */
/* Just enough of UTF-8: decoding, repair, and how many columns of a terminal a text takes. No locale is loaded (that would cost start-up).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Bytes of the character at `text` (`len` are readable), 0 when there is no valid one. */
size_t utf8_decode(const char *text, size_t len, uint32_t *point);

/* What is no UTF-8 (a file's name, a character that was cut) becomes question marks: protobuf clients refuse a message that has it. */
void utf8_repair(char *text);

/* What a terminal would obey rather than show becomes question marks (line ends and tabs: blanks): control characters, those of eight bits
 * included, marks that turn the direction of writing, and what is no UTF-8. The text never becomes longer. */
void utf8_make_harmless(char *text);

/* Columns of a text; an invalid byte counts as one. */
size_t utf8_width(const char *text);

/* Writes a JSON string with its quotes; an invalid byte becomes \udcNN, as Python's surrogateescape has it. What a terminal would
 * obey is escaped too. */
void utf8_write_json(FILE *to, const char *text, size_t len);
