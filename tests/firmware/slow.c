/* SPDX-License-Identifier: Apache-2.0 */
/* "tick N" about every 100 ms. */
#include "board.h"

int main(void)
{
	uart_open(0);
	for (unsigned n = 0;; n++) {
		uart_print(0, "tick ");
		uart_print_number(0, n);
		uart_write(0, '\n');
		board_sleep_100ms();
	}
}
