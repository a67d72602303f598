/* SPDX-License-Identifier: Apache-2.0 */
/* What `make demo` shows: a few lines from a board that does not exist, then an orderly end with code 0. */
#include "board.h"
#include "semihosting.h"

int main(void)
{
	uart_open(0);
	uart_print(0, "Hello from a " BOARD_NAME " that exists only in QEMU.\n");
	for (unsigned n = 3; n > 0; n--) {
		uart_print_number(0, n);
		uart_print(0, "...\n");
		board_sleep_100ms();
	}
	uart_print(0, "Firmware done, ending with code 0.\n");
	semi_exit(0);
	return 0;
}
