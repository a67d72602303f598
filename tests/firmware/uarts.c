/* SPDX-License-Identifier: Apache-2.0 */
/* "uartN" on each port N. */
#include "board.h"

int main(void)
{
	for (unsigned n = 0; n < UART_COUNT; n++) {
		uart_open(n);
		uart_print(n, "uart");
		uart_print_number(n, n);
		uart_write(n, '\n');
	}
	return 0;
}
