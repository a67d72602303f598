/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the kind that a project runs: 20 that compute, in GoogleTest's words, then the end with code 0. In QEMU some 0.1 s. */
#include "board.h"
#include "semihosting.h"

#define TESTS  20
#define ROUNDS 800

static uint8_t block[1024];

static uint32_t crc32(const uint8_t *bytes, unsigned len)
{
	uint32_t crc = ~0u;
	for (unsigned i = 0; i < len; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static uint32_t test(unsigned number)
{
	uint32_t sum = number;
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < sizeof(block); i++)
			block[i] = (uint8_t)(sum >> (i & 15));
		sum = crc32(block, 100) + round;
	}
	return sum;
}

int main(void)
{
	uart_open(0);
	uart_print(0, "[==========] Running 20 tests from 1 test suite.\n");
	for (unsigned number = 0; number < TESTS; number++) {
		uart_print(0, "[ RUN      ] Crc.Block");
		uart_print_number(0, number);
		uart_print(0, "\nsum ");
		uart_print_hex(0, test(number));
		uart_print(0, "\n[       OK ] Crc.Block");
		uart_print_number(0, number);
		uart_print(0, " (1 ms)\n");
	}
	uart_print(0, "[  PASSED  ] 20 tests.\n");
	semi_exit(0);
	return 0;
}
