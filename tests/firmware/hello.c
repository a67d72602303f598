/* SPDX-License-Identifier: Apache-2.0 */
/* Says hello on the first port, then sleeps. */
#include "board.h"

int main(void)
{
	uart_open(0);
	uart_print(0, "hello from " BOARD_NAME "\n");
	return 0;
}
