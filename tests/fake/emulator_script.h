/* SPDX-License-Identifier: Apache-2.0 */
/* What the fake emulator is told to do wrong: $FAKE_EMULATOR, see emulator.c for its words. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum greeting { GREETING_RIGHT, GREETING_WRONG, GREETING_NONE, GREETING_SLOW };
enum output { OUTPUT_LINE, OUTPUT_NONE, OUTPUT_SLOW, OUTPUT_BURST, OUTPUT_FLOOD, OUTPUT_ECHO };
enum crash { CRASH_NEVER, CRASH_AT_START, CRASH_BEFORE_GREETING, CRASH_ON_CONT, CRASH_AFTER };

#define SCRIPT_NEVER UINT64_MAX

struct script {
	enum greeting greeting;
	uint64_t greeting_ms;
	enum output output;
	uint64_t output_amount; /* OUTPUT_SLOW: ms between lines; OUTPUT_BURST: bytes */
	uint64_t silent_ms;     /* no output from then on; SCRIPT_NEVER */
	uint64_t hang_ms;
	uint64_t no_answer_ms;
	unsigned hang_up; /* with which command on QMP; 0: never */
	enum crash crash;
	uint64_t crash_ms;
	int signal;
	int code;
	bool ignores_term;
	unsigned helpers, bomb;
	const char *shutdown; /* reason of a SHUTDOWN event before the end; NULL: none */
	const char *message;  /* on stderr before the end; NULL: none */
	const char *boots;    /* file that counts the starts; NULL */
	unsigned faulty;      /* starts that go wrong, counted in `boots`; later ones are right */
};

/* The script of this start. Ends the process with 1 and a message when it cannot be understood. */
void script_read(struct script *script);
