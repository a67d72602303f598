/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of peripherals that Renode prints, and the processors in it. */
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/monitor.h"
#include "driver/renode_cpus.h"
#include "tests/unit/test_renode_text.h"

#define CLUSTER                                                                                                                            \
	"Available peripherals:\n\n  sysbus (SystemBus)\n  │   \n"                                                                       \
	"  ├── cluster (Cluster)\n  │   │   \n"                                                                                  \
	"  │   ├── big (CortexM)\n  │   │     Slot: 0\n"                                                                       \
	"  │   └── cpu1 (Strange)\n  │         Slot: 1\n"                                                                        \
	"  ├── armTimer (ARM_GenericTimer)\n  │       <0x1, 0x2>\n"                                                                \
	"  └── hart (RiscV32)\n          Slot: 2\n"

struct rows {
	char text[8192];
	size_t count;
};

static void on_row(void *ctx, const struct renode_peripheral *peripheral)
{
	struct rows *rows = ctx;
	size_t used = strlen(rows->text);
	rows->count++;
	snprintf(rows->text + used, sizeof(rows->text) - used, "%s=%s%s ", peripheral->path, peripheral->type,
		 renode_is_cpu(peripheral) ? "*" : "");
}

static void walk(const char *tree, struct rows *rows)
{
	*rows = (struct rows){ 0 };
	renode_peripherals(tree, on_row, rows);
}

static void test_recorded(void **state)
{
	(void)state;
	struct rows rows;
	bool is_cortex_m = false;
	char *tree = renode_answer("tree", "peripherals");
	walk(tree, &rows);
	assert_true(rows.count > 50);
	assert_int_equal(strncmp(rows.text, "sysbus=SystemBus sysbus.bitbandPeripherals=BitBanding ", 54), 0);
	assert_non_null(strstr(rows.text, " sysbus.cpu=CortexM* "));
	assert_non_null(strstr(rows.text, " sysbus.ethernet.phy1=EthernetPhysicalLayer "));
	assert_non_null(strstr(rows.text, " sysbus.flash_controller=STM32F4_FlashController "));
	assert_non_null(strstr(rows.text, " sysbus.usart3=STM32_UART "));
	assert_ptr_equal(strchr(rows.text, '*'), strrchr(rows.text, '*')); /* one processor */
	char *cpu = renode_first_cpu(tree, &is_cortex_m);
	assert_string_equal(cpu, "sysbus.cpu");
	assert_true(is_cortex_m);
	free(cpu);
	free(tree);
}

static void test_cluster(void **state)
{
	(void)state;
	struct rows rows;
	bool is_cortex_m = false;
	walk(CLUSTER, &rows);
	assert_string_equal(rows.text, "sysbus=SystemBus sysbus.cluster=Cluster sysbus.cluster.big=CortexM* sysbus.cluster.cpu1=Strange* "
				       "sysbus.armTimer=ARM_GenericTimer sysbus.hart=RiscV32* ");
	char *cpu = renode_first_cpu(CLUSTER, &is_cortex_m);
	assert_string_equal(cpu, "sysbus.cluster.big");
	assert_true(is_cortex_m);
	free(cpu);
}

/* Types of Renode's that begin like those of processors. */
static void test_types(void **state)
{
	(void)state;
	static const char *const cpus[] = { "CortexM",     "CortexA7",  "ARMv7A",    "ARMv8R",  "RiscV32", "RiscV64",  "VexRiscv",
					    "IbexRiscV32", "PicoRV32",  "CV32E40P",  "Minerva", "Ri5cy",   "VeeR_EL2", "Andes_A45",
					    "X86",         "X86_64KVM", "PowerPc64", "Sparc",   "Xtensa",  "MSP430X" };
	static const char *const others[] = { "ARM_GenericInterruptController",
					      "ARM_GenericTimer",
					      "ARM_PrivateTimer",
					      "ArmSnoopControlUnit",
					      "ArmSignalsUnit",
					      "ArmPerformanceMonitoringUnit",
					      "CortexAGlobalTimer",
					      "VeeR_EL2_PIC",
					      "NVIC",
					      "STM32_UART",
					      "RiscVMachineTimer",
					      "CoreLevelInterruptor" };
	for (size_t i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++)
		if (!renode_is_cpu(&(struct renode_peripheral){ "sysbus.x", "x", cpus[i] }))
			fail_msg("%s", cpus[i]);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (renode_is_cpu(&(struct renode_peripheral){ "sysbus.x", "x", others[i] }))
			fail_msg("%s", others[i]);
}

static void test_hostile_trees(void **state)
{
	(void)state;
	struct rows rows;
	bool is_cortex_m = true;
	char tree[4096];
	static const char *const none[] = { "", "\n", "sysbus", "sysbus (", "│", "  \n  (X)\n", "  ├── a\n", "Could not\n" };
	for (size_t i = 1; i < sizeof(none) / sizeof(none[0]); i++) {
		walk(none[i], &rows);
		assert_true(rows.count == (i == 3)); /* "sysbus (" has an empty type */
	}
	assert_null(renode_first_cpu("", &is_cortex_m));
	assert_false(is_cortex_m);
	snprintf(tree, sizeof(tree), "%0100d (X)\n", 1); /* a name that is too long */
	walk(tree, &rows);
	assert_int_equal(rows.count, 0);
	snprintf(tree, sizeof(tree), "a (%0100d)\n", 1);
	walk(tree, &rows);
	assert_int_equal(rows.count, 1);
	size_t used = 0;
	for (int depth = 0; depth < 20; depth++) /* deeper than there is room for */
		used += (size_t)snprintf(tree + used, sizeof(tree) - used, "%*s%063d (X)\n", 4 * depth + 2, "", depth);
	walk(tree, &rows);
	assert_int_equal(rows.count, 12);
}

static void test_tells_all(void **state)
{
	(void)state;
	int fds[2];
	char heard[256];
	static const char *const lines[] = { "sysbus.cluster.big Resume", "sysbus.cluster.cpu1 Resume", "sysbus.hart Resume" };
	static const struct monitor_ops ops = { 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	struct event_base *base = event_base_new();
	struct monitor *monitor = monitor_new(base, fds[0], false, &ops, NULL);
	renode_cpus_tell(monitor, CLUSTER, "Resume");
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char echo[64];
		ssize_t n = recv(fds[1], heard, sizeof(heard) - 1, MSG_DONTWAIT);
		snprintf(echo, sizeof(echo), "%s\n", lines[i]);
		heard[n > 0 ? n : 0] = '\0';
		assert_string_equal(heard, echo);
		dprintf(fds[1], "%s\r(m) ", echo);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	assert_int_equal(recv(fds[1], heard, 1, MSG_DONTWAIT), -1);
	monitor_free(monitor);
	event_base_free(base);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded),      cmocka_unit_test(test_cluster),   cmocka_unit_test(test_types),
		cmocka_unit_test(test_hostile_trees), cmocka_unit_test(test_tells_all),
	};
	return cmocka_run_group_tests_name("renode_cpus", tests, NULL, NULL);
}
