# SPDX-License-Identifier: Apache-2.0
# Test firmware: build/firmware/<board>/<program>.{elf,bin,hex}, build/firmware/bad/* (files that must be refused). `make firmware`.

FW_SRC := tests/firmware
FW := build/firmware
ARM_CC ?= arm-none-eabi-gcc
RISCV_CC ?= riscv64-unknown-elf-gcc
FW_CFLAGS := -std=gnu11 -Os -g -Wall -Wextra -Werror -ffreestanding -fno-builtin -fno-tree-loop-distribute-patterns -nostdlib \
	-I$(FW_SRC) -T$(FW_SRC)/image.ld -Wl,--build-id=none,-n,--no-warn-rwx-segments
FW_COMMON := $(wildcard $(FW_SRC)/*.h) $(FW_SRC)/start.c $(FW_SRC)/image.ld $(FW_SRC)/rules.mk

# FW_<board>: compiler and flags @ flash base, RAM base, RAM size
FW_BOARDS := lm3s6965evb netduinoplus2 stm32f4-discovery stm32vldiscovery mps2-an385 microbit riscv32-virt riscv64-virt sifive-fe310
FW_lm3s6965evb := $(ARM_CC) -mthumb -mcpu=cortex-m3 @ 0 0x20000000 0x10000
FW_netduinoplus2 := $(ARM_CC) -mthumb -mcpu=cortex-m4 @ 0x08000000 0x20000000 0x20000
FW_stm32f4-discovery := $(FW_netduinoplus2)
FW_stm32vldiscovery := $(ARM_CC) -mthumb -mcpu=cortex-m3 @ 0x08000000 0x20000000 0x2000
FW_mps2-an385 := $(ARM_CC) -mthumb -mcpu=cortex-m3 @ 0 0x20000000 0x400000
FW_microbit := $(ARM_CC) -mthumb -mcpu=cortex-m0 @ 0 0x20000000 0x4000
FW_riscv32-virt := $(RISCV_CC) -march=rv32imac_zicsr -mabi=ilp32 -mcmodel=medany @ 0x80000000 0x80100000 0x100000
FW_riscv64-virt := $(RISCV_CC) -march=rv64imac_zicsr -mabi=lp64 -mcmodel=medany @ 0x80000000 0x80100000 0x100000
FW_sifive-fe310 := $(RISCV_CC) -march=rv32imac_zicsr -mabi=ilp32 -mcmodel=medany @ 0x20400000 0x80000000 0x4000

FW_PROGRAMS := demo hello echo gulp seq seqn exit semi system reset uarts slow silent
FW_ARM_ONLY := lockup bkpt gtest suite
# Only for the board on which tests/fake/renode-console.txt was recorded.
FW_RENODE_ONLY := parked
FW_LOADED := mps2-an385 netduinoplus2 stm32f4-discovery
# Where the boot loader finds its application.
FW_APP_mps2-an385 := 0x00010000
FW_APP_netduinoplus2 := 0x08010000
FW_APP_stm32f4-discovery := $(FW_APP_netduinoplus2)

fw_cc = $(subst |, ,$(firstword $(subst @, ,$(subst $() ,|,$(FW_$(1))))))
fw_places = $(subst |, ,$(word 2,$(subst @, ,$(subst $() ,|,$(FW_$(1))))))
fw_place = $(word $(2),$(call fw_places,$(1)))

# fw_link(board, flash base, further flags, sources)
fw_link = $(call fw_cc,$(1)) $(FW_CFLAGS) -DBOARD_$(subst -,_,$(1)) -Wl,--defsym=FLASH=$(2),--defsym=RAM=$(call fw_place,$(1),2) \
	-Wl,--defsym=RAM_SIZE=$(call fw_place,$(1),3) $(3) -o $@ $(FW_SRC)/start.c $(4) -lgcc

fw_programs = $(FW_PROGRAMS) $(if $(filter riscv% sifive%,$(1)),,$(FW_ARM_ONLY)) $(if $(filter stm32f4-%,$(1)),$(FW_RENODE_ONLY))
FW_FILES := $(foreach b,$(FW_BOARDS),$(foreach p,$(call fw_programs,$(b)),$(FW)/$(b)/$(p).elf) $(FW)/$(b)/hello.bin $(FW)/$(b)/hello.hex) \
	$(foreach b,$(FW_LOADED),$(FW)/$(b)/bootloader.elf $(FW)/$(b)/bootloader.hex $(FW)/$(b)/app.elf $(FW)/$(b)/app.bin)
FW_BAD := $(addprefix $(FW)/bad/,truncated.elf object.o wrong-arch.elf elsewhere.elf text.elf notes.txt empty.bin)

define fw_board_rules
$(FW)/$(1)/seqn.elf: $(FW_SRC)/seq.c $(FW_COMMON)
	@mkdir -p $$(@D)
	$$(call say,FW,$$@)
	$$(Q)$$(call fw_link,$(1),$$(call fw_place,$(1),1),-DLINES=20000,$$<)
$(FW)/$(1)/bkpt.elf: $(FW)/$(1)/exit.elf
	$$(Q)cp $$< $$@
$(FW)/$(1)/app.elf: $(FW_SRC)/app.c $(FW_COMMON)
	@mkdir -p $$(@D)
	$$(call say,FW,$$@)
	$$(Q)$$(call fw_link,$(1),$(FW_APP_$(1)),,$$<)
$(FW)/$(1)/%.elf: $(FW_SRC)/%.c $(FW_COMMON)
	@mkdir -p $$(@D)
	$$(call say,FW,$$@)
	$$(Q)$$(call fw_link,$(1),$$(call fw_place,$(1),1),$(if $(FW_APP_$(1)),-DAPP=$(FW_APP_$(1))),$$<)
$(FW)/$(1)/%.hex: $(FW)/$(1)/%.elf
	$$(Q)$$(patsubst %-gcc,%-objcopy,$$(firstword $$(call fw_cc,$(1)))) -O ihex $$< $$@
$(FW)/$(1)/%.bin: $(FW)/$(1)/%.elf
	$$(Q)$$(patsubst %-gcc,%-objcopy,$$(firstword $$(call fw_cc,$(1)))) -O binary $$< $$@
endef
$(foreach board,$(FW_BOARDS),$(eval $(call fw_board_rules,$(board))))

# ---------------------------------------------------------------- files that must be refused (boards: the ARM ones)

$(FW)/bad/truncated.elf: $(FW)/lm3s6965evb/hello.elf
	@mkdir -p $(@D)
	$(Q)head -c 200 $< > $@
$(FW)/bad/object.o: $(FW_SRC)/hello.c $(FW_COMMON)
	@mkdir -p $(@D)
	$(Q)$(call fw_cc,lm3s6965evb) -std=gnu11 -Os -ffreestanding -DBOARD_lm3s6965evb -I$(FW_SRC) -c -o $@ $<
$(FW)/bad/wrong-arch.elf: $(FW)/riscv32-virt/hello.elf
	@mkdir -p $(@D)
	$(Q)cp $< $@
$(FW)/bad/elsewhere.elf: $(FW_SRC)/hello.c $(FW_COMMON)
	@mkdir -p $(@D)
	$(Q)$(call fw_link,lm3s6965evb,0x60000000,,$<)
$(FW)/bad/text.elf $(FW)/bad/notes.txt:
	@mkdir -p $(@D)
	$(Q)printf 'not a program\nbut two lines of text\n' > $@
$(FW)/bad/empty.bin:
	@mkdir -p $(@D)
	$(Q): > $@

firmware: $(FW_FILES) $(FW_BAD)
.PHONY: firmware
.PRECIOUS: $(FW)/%.elf
