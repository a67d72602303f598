# SPDX-License-Identifier: Apache-2.0
"""Trees that `peripherals` prints: name, type, address ranges, children."""


def row(line):
    """`name Type [start size]... [| how else it is registered, or [more of the last range]]` (hex)"""
    head, _, more = line.partition(" | ")
    name, kind, *numbers = head.split()
    numbers = [int(number, 16) for number in numbers]
    places = [f"<0x{start:08X}, 0x{start + size - 1:08X}>" for start, size in zip(numbers[::2], numbers[1::2])]
    if more.startswith("["):
        places[-1] += " " + more
    elif more:
        places.append(more)
    return {"name": name, "kind": kind, "ranges": places, "children": []}


def tree(text):
    """Children are indented below their parent."""
    root = {"name": "sysbus", "kind": "SystemBus", "ranges": [], "children": []}
    path = [root]
    for line in text.strip("\n").splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        node = row(line)
        path[depth]["children"].append(node)
        path[depth + 1:] = [node]
    return root


DISCOVERY = tree("""
bitbandPeripherals BitBanding 42000000 2000000
bitbandSram BitBanding 22000000 200000
can1 STMCAN 40006400 400
can2 STMCAN 40006800 400
cpu CortexM | Slot: 0
crc STM32_CRC 40023000 400
dma1 STM32DMA 40026000 400
dma2 STM32DMA 40026400 400
ethernet SynopsysEthernetMAC 40028000 1400
  phy EthernetPhysicalLayer | Address: 0
  phy1 EthernetPhysicalLayer | Address: 1
exti STM32F4_EXTI 40013C00 400
flash MappedMemory 08000000 200000
flash_controller STM32F4_FlashController 40023C00 400 1FFFC000 100 | [region: optionBytes]
fsmcBank1 MappedMemory 60000000 10000000
gpioPortA STM32_GPIOPort 40020000 400
  UserButton Button
  externalButton Button
  externalLed LED
gpioPortB STM32_GPIOPort 40020400 400
gpioPortC STM32_GPIOPort 40020800 400
gpioPortD STM32_GPIOPort 40020C00 400
  UserLED LED
gpioPortE STM32_GPIOPort 40021000 400
gpioPortF STM32_GPIOPort 40021400 400
gpioPortG STM32_GPIOPort 40021800 400
gpioPortH STM32_GPIOPort 40021C00 400
gpioPortI STM32_GPIOPort 40022000 400
gpioPortJ STM32_GPIOPort 40022400 400
gpioPortK STM32_GPIOPort 40022800 400
i2c1 STM32F4_I2C 40005400 400
i2c2 STM32F4_I2C 40005800 400
i2c3 STM32F4_I2C 40005C00 400
iwdg STM32_IndependentWatchdog 40003000 400
nvic NVIC E000E000 1000
pwr STM32_PWR 40007000 400
rcc STM32F4_RCC 40023800 400
rng STM32F4_RNG 50060800 400
rom1 MappedMemory 1FFF0000 C000
rom2 MappedMemory 1FFFC400 3C00
rtc STM32F4_RTC 40002800 400
spi1 STM32SPI 40013000 400
spi2 STM32SPI 40003800 400
spi3 STM32SPI 40003C00 400
sram MappedMemory 20000000 40000
timer1 STM32_Timer 40010000 400
timer2 STM32_Timer 40000000 400
timer3 STM32_Timer 40000400 400
timer4 STM32_Timer 40000800 400
timer5 STM32_Timer 40000C00 400
timer6 STM32_Timer 40001000 400
timer7 STM32_Timer 40001400 400
timer8 STM32_Timer 40010400 400
timer9 STM32_Timer 40014000 400
timer10 STM32_Timer 40014400 400
timer11 STM32_Timer 40014800 400
timer12 STM32_Timer 40001800 400
timer13 STM32_Timer 40001C00 400
timer14 STM32_Timer 40002000 400
uart4 STM32_UART 40004C00 100
uart5 STM32_UART 40005000 100
usart1 STM32_UART 40011000 100
usart2 STM32_UART 40004400 100
usart3 STM32_UART 40004800 100
""")
STM32F4 = {**DISCOVERY, "children": [{**child, "children": []} for child in DISCOVERY["children"]]}
FE310 = tree("""
cpu RiscV32 | Slot: 0
uart0 SiFive_UART 10013000 1000
uart1 SiFive_UART 10023000 1000
""")


def print_node(node, writer, indent, branch, is_last, is_root=False):
    writer.write_line(f"{indent}{branch}{node['name']} ({node['kind']})")
    below = indent if is_root else indent + ("    " if is_last else "│   ")
    bar = "│   " if node["children"] else "    "
    for text in node["ranges"]:
        writer.write_line(f"{below}{bar}{text}")
    writer.write_line(f"{below}{bar}")
    children = sorted(node["children"], key=lambda child: child["name"])
    for number, child in enumerate(children):
        last = number == len(children) - 1
        print_node(child, writer, below, "└── " if last else "├── ", last)


def print_tree(root, writer):
    writer.write_line("Available peripherals:")
    writer.write_line()
    print_node(root, writer, "  ", "", False, True)


def exported(node):
    bindings = [{"Type": "BusRangeRegistration", "Value": text} for text in node["ranges"]]
    return {"Name": node["kind"], "Alias": node["name"], "Bindings": bindings, "Children": [exported(child) for child in node["children"]]}
