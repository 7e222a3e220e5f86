// SPDX-License-Identifier: Apache-2.0
#include "tests/support/reference_walk.hpp"

namespace mmusim::test {

namespace {

struct Shape {
    std::string_view format;
    char family;                         // x86, ept, arm, stage 2 of arm, riscv
    unsigned page, index, levels, root;  // bits: of the page, of an index, of the root's index
};
constexpr Shape kShapes[] = {{"x86-64-4level", 'x', 12, 9, 4, 9},
                             {"x86-64-5level", 'x', 12, 9, 5, 9},
                             {"ept-4level", 'e', 12, 9, 4, 9},
                             {"arm64-4k", 'a', 12, 9, 4, 9},
                             {"arm64-16k", 'a', 14, 11, 4, 1},
                             {"arm64-64k", 'a', 16, 13, 3, 6},
                             {"arm64-4k-stage2", 's', 12, 9, 4, 9},
                             {"arm64-16k-stage2", 's', 14, 11, 3, 12},
                             {"arm64-64k-stage2", 's', 16, 13, 3, 6},
                             {"sv39", 'r', 12, 9, 3, 9},
                             {"sv48", 'r', 12, 9, 4, 9},
                             {"sv39x4", 'r', 12, 9, 3, 11},
                             {"sv48x4", 'r', 12, 9, 4, 11}};

bool bit(std::uint64_t raw, unsigned n) { return raw >> n & 1; }
std::uint64_t low(std::uint64_t value, unsigned bits) { return value & ((1ull << bits) - 1); }

bool is_valid(char family, std::uint64_t raw) {
    return family == 'e' ? (raw & 7) != 0 : bit(raw, 0);
}
bool is_leaf(char family, std::uint64_t raw, unsigned level) {
    if (family == 'r') return (raw & 0xe) != 0;
    if (level == 0) return true;
    return family == 'a' || family == 's' ? !bit(raw, 1) : bit(raw, 7);
}

/// Permissions and bits of a leaf; `page.address` is left alone.
void read_leaf(char family, std::uint64_t raw, ReferencePage& page) {
    const bool modifier = bit(raw, 51);
    switch (family) {
        case 'x':
            page.readable = bit(raw, 2);
            page.writable = page.readable && bit(raw, 1);
            page.executable = page.readable && !bit(raw, 63);
            page.accessed = bit(raw, 5);
            page.dirty = bit(raw, 6);
            break;
        case 'e':
            page.readable = bit(raw, 0);
            page.writable = bit(raw, 1);
            page.executable = bit(raw, 2);
            page.accessed = bit(raw, 8);
            page.dirty = bit(raw, 9);
            break;
        case 'a':
            page.readable = bit(raw, 6);
            page.writable = page.readable && (modifier || !bit(raw, 7));
            page.executable = page.readable && !bit(raw, 54);
            page.accessed = bit(raw, 10);
            page.dirty = !bit(raw, 7);
            break;
        case 's':
            page.readable = bit(raw, 6);
            page.writable = modifier || bit(raw, 7);
            page.executable = !bit(raw, 54);
            page.accessed = bit(raw, 10);
            page.dirty = bit(raw, 7);
            break;
        default:
            page.readable = bit(raw, 4) && bit(raw, 1);
            page.writable = bit(raw, 4) && bit(raw, 2);
            page.executable = bit(raw, 4) && bit(raw, 3);
            page.accessed = bit(raw, 6);
            page.dirty = bit(raw, 7);
    }
}

}  // namespace

std::optional<ReferencePage> reference_walk(std::string_view format, const ReadWord& read,
                                            std::uint64_t root, std::uint64_t address) {
    const Shape* shape = kShapes;
    while (shape->format != format) ++shape;
    std::uint64_t table = root;
    for (unsigned level = shape->levels; level-- > 0;) {
        const unsigned shift = shape->page + shape->index * level;
        const unsigned bits = level + 1 == shape->levels ? shape->root : shape->index;
        const std::uint64_t raw = read(table + 8 * low(address >> shift, bits));
        if (!is_valid(shape->family, raw)) return std::nullopt;
        const bool riscv = shape->family == 'r';
        std::uint64_t to = riscv
                               ? low(raw >> 10, 44) << 12
                               : low(raw, shape->family == 'x' || shape->family == 'e' ? 52 : 48) >>
                                     shape->page << shape->page;
        if (!is_leaf(shape->family, raw, level)) {
            table = to;
            continue;
        }
        const unsigned size = riscv && bit(raw, 63) ? 16 : shift;  // Svnapot: 64 KiB
        ReferencePage page;
        page.address = (to >> size << size) | low(address, size);
        read_leaf(shape->family, raw, page);
        return page;
    }
    return std::nullopt;
}

ReferenceGuestPage reference_walk(std::string_view first, std::string_view second,
                                  const ReadWord& read, std::uint64_t first_root,
                                  std::uint64_t second_root, std::uint64_t address) {
    ReferenceGuestPage both;
    const auto read_guest = [&](std::uint64_t at) -> std::uint64_t {
        const auto page = reference_walk(second, read, second_root, at);
        both.violated = both.violated || !page || !page->readable;
        return both.violated ? 0 : read(page->address);
    };
    both.first = reference_walk(first, read_guest, first_root, address);
    if (both.first && !both.violated)
        both.second = reference_walk(second, read, second_root, both.first->address);
    return both;
}

}  // namespace mmusim::test
