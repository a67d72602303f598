# SPDX-License-Identifier: Apache-2.0
"""Trees that `peripherals` prints: name, type, address ranges, children."""


def row(line):
    """`name Type start size` (hex), with start `-` for what is registered without an address."""
    name, kind, *range_ = line.split()
    ranges = []
    if range_:
        start, size = (int(word, 16) for word in range_)
        ranges.append(f"<0x{start:08X}, 0x{start + size - 1:08X}>")
    return {"name": name, "kind": kind, "ranges": ranges, "children": []}


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


STM32F4 = tree("""
cpu CortexM
usart1 STM32_UART 40011000 100
usart2 STM32_UART 40004400 100
usart3 STM32_UART 40004800 100
uart4 STM32_UART 40004C00 100
uart5 STM32_UART 40005000 100
""")
DISCOVERY = STM32F4
FE310 = tree("""
cpu RiscV32
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
