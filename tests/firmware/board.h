/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs of this directory know of a board. One of BOARD_* is defined by rules.mk:
 *   BOARD_NAME, UART_COUNT      "lm3s6965evb", serial ports that uart_open() accepts
 *   uart_open(n)                turns port n on, both ways, with its receive interrupt pending to the core (but masked)
 *   uart_write(n, c)            waits for room, sends
 *   uart_print(n, text), uart_print_hex(n, v), uart_print_number(n, v)
 *   uart_read(n)                a byte, or -1 when none is there
 *   board_wait()                sleeps until a byte came in (an interrupt is pending)
 *   board_sleep_100ms()         sleeps about that long
 *   board_reset()               asks for a reset of the whole board
 */
#pragma once

#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(uintptr_t)(address))

#if defined(BOARD_lm3s6965evb)
#define BOARD_NAME "lm3s6965evb"
#define CPU_HZ     12000000
#define UART_PL011
#define UART_COUNT 3
#define UART_BASES 0x4000c000, 0x4000d000, 0x4000e000
#define UART_IRQS  5, 6, 33

#elif defined(BOARD_netduinoplus2)
#define BOARD_NAME "netduinoplus2"
#define CPU_HZ     168000000
#define UART_STM32
#define UART_COUNT 7
#define UART_BASES 0x40011000, 0x40004400, 0x40004800, 0x40004c00, 0x40005000, 0x40011400, 0x40007800
#define UART_IRQS  37, 38, 39, 52, 53, 71, 82

/* As Renode's board of that name; its USART2 is the port that people use. Registers as netduinoplus2, order not. */
#elif defined(BOARD_stm32f4_discovery)
#define BOARD_NAME "stm32f4_discovery"
#define CPU_HZ     168000000
#define UART_STM32
#define UART_COUNT 3
#define UART_BASES 0x40004400, 0x40011000, 0x40004800
#define UART_IRQS  38, 37, 39
#define UART_BRR   0x8b /* 115200 at 16 MHz; Renode's clock is 8 MHz whatever the program thinks */

#elif defined(BOARD_stm32vldiscovery)
#define BOARD_NAME "stm32vldiscovery"
#define CPU_HZ     24000000
#define UART_STM32
#define UART_COUNT 3
#define UART_BASES 0x40013800, 0x40004400, 0x40004800
#define UART_IRQS  37, 38, 39

#elif defined(BOARD_mps2_an385)
#define BOARD_NAME "mps2-an385"
#define CPU_HZ     25000000
#define UART_CMSDK
#define UART_COUNT 5
#define UART_BASES 0x40004000, 0x40005000, 0x40006000, 0x40007000, 0x40009000
#define UART_IRQS  0, 2, 4, 18, 20

#elif defined(BOARD_microbit)
#define BOARD_NAME "microbit"
#define CPU_HZ     16000000
#define UART_NRF51
#define UART_COUNT 1
#define UART_BASES 0x40002000
#define UART_IRQS  2

#elif defined(BOARD_riscv32_virt) || defined(BOARD_riscv64_virt)
#ifdef BOARD_riscv32_virt
#define BOARD_NAME "riscv32-virt"
#else
#define BOARD_NAME "riscv64-virt"
#endif
#define UART_16550
#define UART_COUNT 1
#define UART_BASES 0x10000000
#define UART_IRQS  10

#elif defined(BOARD_sifive_fe310)
#define BOARD_NAME "sifive-fe310"
#define UART_SIFIVE
#define UART_COUNT 2
#define UART_BASES 0x10013000, 0x10023000
#define UART_IRQS  3, 4
#else
#error "unknown board"
#endif

static const uint32_t uart_bases[] = { UART_BASES };
static const uint8_t uart_irqs[] = { UART_IRQS };

/* ---------------------------------------------------------------- the core: waiting, sleeping, reset */

#ifdef __arm__
#define NVIC_ISER(irq) REG(0xe000e100 + 4 * ((irq) / 32))
#define NVIC_ICPR(irq) REG(0xe000e280 + 4 * ((irq) / 32))

static inline void irq_open(unsigned irq)
{
	__asm__ volatile("cpsid i"); /* a pending interrupt ends wfi, but is never taken */
	NVIC_ISER(irq) = 1u << (irq % 32);
}

static inline void board_wait(void)
{
	__asm__ volatile("wfi" ::: "memory");
	for (unsigned n = 0; n < UART_COUNT; n++)
		NVIC_ICPR(uart_irqs[n]) = 1u << (uart_irqs[n] % 32); /* stays pending while a byte is there */
}

static inline void board_sleep_100ms(void)
{
	REG(0xe000e014) = CPU_HZ / 100 - 1;
	REG(0xe000e018) = 0;
	REG(0xe000e010) = 7;
	__asm__ volatile("cpsid i");
	for (unsigned n = 0; n < 10; n++)
		while (!(REG(0xe000e010) & 0x10000)) {
			__asm__ volatile("wfi" ::: "memory");
			REG(0xe000ed04) = 1u << 25; /* PENDSTCLR */
		}
	REG(0xe000e010) = 0;
}

static inline void board_reset(void)
{
	REG(0xe000ed0c) = 0x05fa0004;
}

#else /* RISC-V: virt, FE310 */
#define PLIC  0x0c000000
#define CLINT 0x02000000

static inline void irq_open(unsigned irq)
{
	REG(PLIC + 4 * irq) = 1;
	REG(PLIC + 0x2000) |= 1u << irq;
	__asm__ volatile("csrs mie, %0" ::"r"(1u << 11));
}

static inline void board_wait(void)
{
	uint32_t irq;

	__asm__ volatile("wfi" ::: "memory");
	irq = REG(PLIC + 0x200004); /* claim; it comes again while a byte is there */
	REG(PLIC + 0x200004) = irq;
}

static inline void board_sleep_100ms(void)
{
	uint32_t start = REG(CLINT + 0xbff8); /* mtime, 10 MHz */

	REG(CLINT + 0x4004) = REG(CLINT + 0xbffc) + (start + 1000000 < start);
	REG(CLINT + 0x4000) = start + 1000000;
	__asm__ volatile("csrs mie, %0" ::"r"(1u << 7));
	while (REG(CLINT + 0xbff8) - start < 1000000)
		__asm__ volatile("wfi" ::: "memory");
	__asm__ volatile("csrc mie, %0" ::"r"(1u << 7));
}

static inline void board_reset(void)
{
	REG(0x100000) = 0x7777;
}
#endif

/* ---------------------------------------------------------------- one driver for each kind of UART */

#if defined(UART_PL011)
static inline void device_open(uint32_t base)
{
	REG(base + 0x2c) = 0x70;  /* 8n1, FIFOs */
	REG(base + 0x38) = 0x50;  /* receive and receive timeout interrupts */
	REG(base + 0x30) = 0x301; /* on, both ways */
}

static inline void device_write(uint32_t base, char c)
{
	while (REG(base + 0x18) & 0x20)
		;
	REG(base) = (uint8_t)c;
}

static inline int device_read(uint32_t base)
{
	return REG(base + 0x18) & 0x10 ? -1 : (int)(REG(base) & 0xff);
}

#elif defined(UART_STM32)
static inline void device_open(uint32_t base)
{
#ifdef UART_BRR
	REG(base + 0x08) = UART_BRR;
#endif
	REG(base + 0x0c) = 0x202c; /* UE, RXNEIE, TE, RE */
}

static inline void device_write(uint32_t base, char c)
{
	while (!(REG(base) & 0x80))
		;
	REG(base + 4) = (uint8_t)c;
}

static inline int device_read(uint32_t base)
{
	return REG(base) & 0x20 ? (int)(REG(base + 4) & 0xff) : -1;
}

#elif defined(UART_CMSDK)
static inline void device_open(uint32_t base)
{
	REG(base + 0x10) = 217; /* 115200 at 25 MHz */
	REG(base + 0x08) = 0x0b;
}

static inline void device_write(uint32_t base, char c)
{
	while (REG(base + 4) & 1)
		;
	REG(base) = (uint8_t)c;
}

static inline int device_read(uint32_t base)
{
	REG(base + 0x0c) = 2; /* the receive interrupt is latched */
	return REG(base + 4) & 2 ? (int)(REG(base) & 0xff) : -1;
}

#elif defined(UART_NRF51)
static inline void device_open(uint32_t base)
{
	REG(base + 0x500) = 4; /* ENABLE */
	REG(base + 0x304) = 4; /* INTENSET: RXDRDY */
	REG(base + 0x000) = 1; /* STARTRX */
	REG(base + 0x008) = 1; /* STARTTX */
}

static inline void device_write(uint32_t base, char c)
{
	REG(base + 0x11c) = 0; /* TXDRDY */
	REG(base + 0x51c) = (uint8_t)c;
	while (!REG(base + 0x11c))
		;
}

static inline int device_read(uint32_t base)
{
	if (!REG(base + 0x108)) /* RXDRDY */
		return -1;
	REG(base + 0x108) = 0;
	return (int)(REG(base + 0x518) & 0xff);
}

#elif defined(UART_16550)
#define REG8(address) (*(volatile uint8_t *)(uintptr_t)(address))

static inline void device_open(uint32_t base)
{
	REG8(base + 3) = 3; /* 8n1 */
	REG8(base + 2) = 1; /* FIFOs */
	REG8(base + 1) = 1; /* receive interrupt */
}

static inline void device_write(uint32_t base, char c)
{
	while (!(REG8(base + 5) & 0x20))
		;
	REG8(base) = (uint8_t)c;
}

static inline int device_read(uint32_t base)
{
	return REG8(base + 5) & 1 ? REG8(base) : -1;
}

#elif defined(UART_SIFIVE)
static inline void device_open(uint32_t base)
{
	REG(base + 0x08) = 1; /* TXEN */
	REG(base + 0x0c) = 1; /* RXEN, interrupt from the first byte on */
	REG(base + 0x10) = 2; /* receive interrupt */
}

static inline void device_write(uint32_t base, char c)
{
	while (REG(base) >> 31)
		;
	REG(base) = (uint8_t)c;
}

static inline int device_read(uint32_t base)
{
	uint32_t data = REG(base + 4);

	return data >> 31 ? -1 : (int)(data & 0xff);
}
#endif

/* ---------------------------------------------------------------- ports by number */

static inline void uart_open(unsigned n)
{
	device_open(uart_bases[n]);
	irq_open(uart_irqs[n]);
}

static inline void uart_write(unsigned n, char c)
{
	device_write(uart_bases[n], c);
}
static inline int uart_read(unsigned n)
{
	return device_read(uart_bases[n]);
}

static inline void uart_print(unsigned n, const char *text)
{
	while (*text)
		uart_write(n, *text++);
}

static inline void uart_print_hex(unsigned n, uint32_t value)
{
	for (int shift = 28; shift >= 0; shift -= 4)
		uart_write(n, "0123456789abcdef"[value >> shift & 15]);
}

static inline void uart_print_number(unsigned n, unsigned value)
{
	if (value >= 10)
		uart_print_number(n, value / 10);
	uart_write(n, (char)('0' + value % 10));
}
